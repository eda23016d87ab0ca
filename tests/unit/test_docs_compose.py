"""Docker compose agrees with .env.example and with the settings in the code."""

import re
from pathlib import Path

from schemas.kafka_security import KAFKA_VARIABLES_PREFIX, KafkaSecurity
from schemas.settings import settings_of

ROOT = Path(__file__).parents[2]


def test_env_example_has_every_variable_of_docker_compose_with_its_default() -> None:
    """It has no other variable; a name without a value is passed on by compose unchanged."""
    files = (f"docker-compose{kind}.yml" for kind in ("", ".ha", ".external-kafka"))
    compose = "".join((ROOT / file).read_text() for file in files)
    # The default of a variable may be its value under a former name.
    compose = re.sub(r"\$\{(\w+):-\$\{\w+:-([^}]*)\}\}", r"${\1:-\2}", compose)
    read = set(re.findall(r"\$\{(\w+):-([^}]*)\}", compose))
    read |= {(name, "") for name in re.findall(r"^ +([A-Z_]+):$", compose, re.MULTILINE)}
    read |= {(name, "") for name in re.findall(r"\$\{(\w+):\?[^}]+\}", compose)}
    # `:+` stands for a text if the variable is set; the same variable is also read as a value.
    assert set(re.findall(r"\$\{(\w+):\+unless-stopped\}", compose)) <= {name for name, _ in read}
    assert "${" not in re.sub(r"\$\{\w+:(-[^}]*|\?[^}]+|\+unless-stopped)\}", "", compose)
    example = (ROOT / ".env.example").read_text()
    assert set(re.findall(r"^#([A-Z0-9_]+)=(.*)$", example, re.MULTILINE)) == read


def test_docker_compose_passes_on_every_setting_of_an_external_kafka() -> None:
    """A setting without such a line would have no effect in the containers."""
    text = (ROOT / "docker-compose.external-kafka.yml").read_text()
    passed_on = set(re.findall(rf"^ +({KAFKA_VARIABLES_PREFIX}[A-Z_]+):$", text, re.MULTILINE))
    assert passed_on == {
        each.variable for each in settings_of(KafkaSecurity, KAFKA_VARIABLES_PREFIX)
    }


def test_env_example_says_which_variables_have_an_effect_with_your_own_kafka_only() -> None:
    """Compose does not warn of a variable in .env that no file reads."""
    example = (ROOT / ".env.example").read_text()
    (part,) = (each for each in example.split("\n# --- ") if each.startswith("Your own Kafka"))
    assert "Without that file, no variable of this part has an effect" in part
    with_bundled = "".join((ROOT / f"docker-compose{kind}.yml").read_text() for kind in ("", ".ha"))
    for name in re.findall(r"^#([A-Z0-9_]+)=", example, re.MULTILINE):
        is_read = f"${{{name}:" in with_bundled or bool(
            re.search(rf"^ +{name}:$", with_bundled, re.MULTILINE)
        )
        assert is_read != (f"\n#{name}=" in part), name


def test_the_docs_name_each_secret_in_an_environment_variable() -> None:
    """Passwords that the installation makes are in files, so that `docker inspect` prints none."""
    compose = "".join(file.read_text() for file in ROOT.glob("docker-compose*.yml"))
    names = set(re.findall(r"^ +([A-Z0-9_]+):", compose, re.MULTILINE))
    secrets = {
        name
        for name in names
        if re.search("PASSWORD|SECRET|TOKEN(?!S)", name)
        and not name.endswith(("_FILE", "_DIR", "_COMMAND"))
    }
    assert secrets
    operations = (ROOT / "docs" / "operations.md").read_text()
    (passwords,) = re.findall(r"^### Passwords\n(.*?)^### ", operations, re.MULTILINE | re.DOTALL)
    assert {name for name in secrets if f"`{name}`" not in passwords} == set()


def test_env_example_explains_every_variable_and_sets_none() -> None:
    """A copy of the file changes nothing until a line is uncommented."""
    explained = False
    for line in (ROOT / ".env.example").read_text().splitlines():
        assert not line or line.startswith("#")
        if re.match(r"#[A-Z0-9_]+=", line):
            assert explained, line
        else:
            explained = line.startswith("# ") and not line.startswith("# ---")
