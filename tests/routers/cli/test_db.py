def test_database_is_made_and_upgraded(junctor, tmp_path):
    """A second time changes nothing."""
    first, second = junctor("db", "upgrade"), junctor("db", "upgrade")

    assert (first.stdout, second.stdout) == (first.stdout, first.stdout)
    assert first.stdout.startswith("The database is at revision ")
    assert (tmp_path / "data" / "junctor.db").exists()


def test_unknown_kind_of_database_is_a_wrong_setting(junctor, config):
    """Two is the exit code of the configuration."""
    path = config("[storage]\ndatabase_url = 'mysql://host/db'\n")

    result = junctor("db", "upgrade", "--config", path)

    assert (result.exit_code, "storage.database_url" in result.stderr) == (2, True)
