"""docs/kafka.md has the causes that the code has, and settings that a process accepts."""

import ast
import re
from pathlib import Path

import trustme
from support.docs_blocks import ROOT, blocks
from support.parsed import parsed

from schemas.kafka_security import KAFKA_VARIABLES_PREFIX, KafkaSecurity
from schemas.settings import read_settings

PAGE = (ROOT / "docs" / "kafka.md").read_text()
CAUSES = PAGE.split("## When it does not work")[1].split("## Vendors")[0]


def texts(module: str) -> set[str]:
    """Return the constant texts of a module."""
    return {
        node.value
        for node in ast.walk(parsed(ROOT / module))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_quoted_cause_is_in_the_code() -> None:
    """An operator who searches the page for an error finds it."""
    modules = [*(ROOT / "schemas").glob("kafka_*.py"), ROOT / "ops/records/committed_records.py"]
    code = {text for module in modules for text in texts(str(module.relative_to(ROOT)))}
    quoted = re.findall(r'"([^"]+)"', " ".join(CAUSES.split()))
    assert len(quoted) > 20
    for text in quoted:
        for part in text.split("…"):
            assert any(part.strip() in each for each in code), text


def test_every_cause_of_the_code_is_on_the_page() -> None:
    """A text begins with a cause that the page quotes; the setting to change follows."""
    causes = {
        re.split(r" \(|;", text)[0].strip(': ("')
        for text in texts("schemas/kafka_causes.py")
        if re.match(r"(the|this|an|a) [^.]*$", text)
    }
    principals = {text for text in causes if text.startswith("the principal of")}
    page = " ".join(CAUSES.split())
    assert len(causes - principals) > 14
    assert {cause for cause in causes - principals if cause not in page} == set()


def test_the_settings_of_the_page_can_be_used(tmp_path: Path) -> None:
    """Each block is read with files in the place of those that it names."""
    authority = trustme.CA()
    for block in blocks("ini"):
        pairs = (line.split("=", 1) for line in block.splitlines() if not line.startswith("#"))
        env = {name: value for name, value in pairs if name.startswith(KAFKA_VARIABLES_PREFIX)}
        for name, value in env.items():
            if name.endswith("_FILE"):
                file = tmp_path / Path(value).name
                file.write_text("hookline")
                env[name] = str(file)
        if f"{KAFKA_VARIABLES_PREFIX}CA_FILE" in env:
            authority.cert_pem.write_to_path(env[f"{KAFKA_VARIABLES_PREFIX}CA_FILE"])
        (security,) = read_settings({KAFKA_VARIABLES_PREFIX: KafkaSecurity}, env)
        protocol = security.options().get("security_protocol")
        assert protocol == "SASL_SSL" or list(env) == [f"{KAFKA_VARIABLES_PREFIX}PREFIX"]
