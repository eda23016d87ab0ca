"""The consumer `webhook`: delivers every callback to an HTTP target, in order, at least once."""

from consumers.webhook.consumer import WEBHOOK

__all__ = ["WEBHOOK"]
