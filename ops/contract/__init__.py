"""The documents of the contract: writing them, and comparing them with those of a release."""
