from junctor.contracts.speech_to_text import VENDORS
from junctor.core import hooks
from junctor.core.discovery import PROJECT, find_plugins


def test_own_plugins_come_first_then_names(shelf):
    """The order in which plugins are loaded is the same everywhere."""
    shelf.add("zebra", "")
    shelf.add("ant", "")
    shelf.add("whisper", "", distribution="junctor")
    shelf.add("openai", "", distribution="junctor")

    found = find_plugins(shelf.installed)

    assert [one.name for one in found] == ["openai", "whisper", "ant", "zebra"]


def test_distribution_and_version_are_told(shelf):
    """An operator can tell which package to repair."""
    shelf.add("ant", "", distribution="Junctor_Ant", version="2.1")

    (found,) = find_plugins(shelf.installed)

    assert (found.distribution, found.version) == ("junctor-ant", "2.1")


def test_nothing_is_imported(shelf):
    """Finding costs no import."""
    shelf.add("ant", "raise SystemExit")

    assert [one.name for one in find_plugins(shelf.installed)] == ["ant"]


def test_other_groups_are_not_ours(shelf):
    """A distribution with other entry points is passed over."""
    shelf.announce("other", "[console_scripts]\njunctor = somewhere:main\n")

    assert find_plugins(shelf.installed) == ()


def test_nearest_distribution_of_a_name_counts(shelf, tmp_path):
    """As `import` would, the first on the path wins."""
    shelf.announce("ant-dist", "[junctor]\nant = first\n", version="1.0")
    far = type(shelf)(tmp_path / "far")
    far.folder.mkdir()
    far.announce("ant-dist", "[junctor]\nant = second\n", version="0.9")
    far.close()

    found = find_plugins([*shelf.installed, *far.installed])

    assert [one.version for one in found] == ["1.0"]


def test_unreadable_metadata_is_one_finding(shelf):
    """A stranger's broken file takes nobody else along."""
    shelf.announce("broken", "[junctor]\nno equals sign here\n")
    shelf.add("ant", "")

    found = find_plugins(shelf.installed)

    assert [(one.name, one.entry_point is None) for one in found] == [
        ("ant", False),
        ("broken", True),
    ]


def test_metadata_that_is_no_text_is_passed_over(shelf):
    """It cannot even be asked whether it is about us."""
    shelf.announce("binary", "")
    (shelf.folder / "binary-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe\x00")

    assert find_plugins(shelf.installed) == ()


def test_missing_name_and_version_are_unknown(shelf):
    """Metadata without its headers still lets the plugin in."""
    shelf.add("ant", "")
    (shelf.folder / "ant_dist-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\n")

    (found,) = find_plugins(shelf.installed)

    assert (found.distribution, found.version) == ("unknown", "unknown")


def test_own_entry_points_are_installed():
    """Our own plugins come in by the same door as a stranger's."""
    own = {one.name for one in find_plugins() if one.distribution == "junctor"}

    local = {"ctranslate2", "ltx", "sphinx", "stills", "typhoon", "vllm", "whisper"}

    assert own == {*VENDORS, "junctor"} | local


def test_group_is_the_project_of_the_hooks():
    """Said twice, so that looking for plugins need not import the plugin API."""
    assert PROJECT == hooks.PROJECT
