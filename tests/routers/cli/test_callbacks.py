def test_secret_stands_alone_and_stays(junctor):
    """A script takes it as it comes; the second call prints the same."""
    first, second = junctor("callbacks", "secret"), junctor("callbacks", "secret")

    assert (len(first.stdout), first.stdout) == (65, second.stdout)
