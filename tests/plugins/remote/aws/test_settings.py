"""The plugin's table: checked, and it sits out until it can work."""

import pytest

from junctor.conf.settings import Secret, Settings
from junctor.core.errors import ConfigError, NotConfiguredError
from junctor.plugins.remote.aws import Amazon, AWSSettings, junctor_providers
from junctor.plugins.remote.aws.settings import checked
from junctor.plugins.remote.aws.signing import signer_of


def provider(**table: object) -> Amazon:
    (found,) = junctor_providers(Settings(plugins={"aws": {"bucket": "mine", **table}}))
    assert isinstance(found, Amazon)
    return found


def test_without_a_bucket_it_sits_out():
    """The reason says what to set."""
    with pytest.raises(NotConfiguredError, match=r"`bucket`.*plugins\.aws"):
        junctor_providers(Settings())


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"region": "Ireland"}, "region"),
        ({"bucket": "A_b"}, "bucket"),
        ({"prefix": "a b"}, "prefix"),
        ({"s3_url": "ftp://host"}, "s3_url"),
        ({"base_url": "host"}, "base_url"),
        ({"stream_url": "wss://u@host"}, "stream_url"),
        ({"api_key": "sk"}, "api_key"),
        ({"access_key_id": "AKIA"}, "access_key_id"),
        ({"secret_access_key": "x"}, "access_key_id"),
    ],
)
def test_wrong_settings_are_named(changes, key):
    """What cannot work is a configuration error that names its key."""
    with pytest.raises(ConfigError, match=rf"plugins\.aws\.{key}"):
        provider(**changes)


@pytest.mark.parametrize(
    ("table", "urls"),
    [
        (
            {"bucket": "mine", "region": "ap-south-1"},
            (
                "https://transcribe.ap-south-1.amazonaws.com",
                "https://mine.s3.ap-south-1.amazonaws.com",
                "wss://transcribestreaming.ap-south-1.amazonaws.com:8443",
            ),
        ),
        (
            {"bucket": "my.own", "region": "cn-north-1"},
            (
                "https://transcribe.cn-north-1.amazonaws.com.cn",
                "https://s3.cn-north-1.amazonaws.com.cn/my.own",
                "wss://transcribestreaming.cn-north-1.amazonaws.com.cn:8443",
            ),
        ),
        (
            {
                "bucket": "mine",
                "base_url": "http://a",
                "s3_url": "http://b/",
                "stream_url": "ws://c",
            },
            ("http://a", "http://b/mine", "ws://c"),
        ),
    ],
)
def test_urls_follow_from_the_region(table, urls):
    """Each service has its own host, unless a table says where it is."""
    settings = checked(AWSSettings(**table))

    assert urls == (settings.base_url, settings.s3_url, settings.stream_url)


@pytest.fixture(name="bare")
def _bare(monkeypatch, tmp_path):
    """Leave botocore nothing to find."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return monkeypatch


async def test_no_credentials_anywhere(bare):
    """Without credentials of any kind it does not start, and says what to set."""
    found = provider()
    with pytest.raises(NotConfiguredError, match="access_key_id"):
        await found.start()

    await found.close()


def test_credentials_of_the_environment(bare):
    """Where the table names none, botocore's own chain does."""
    bare.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    bare.setenv("AWS_SECRET_ACCESS_KEY", "s")
    url = signer_of(AWSSettings(bucket="mine")).presigned("wss://host:8443/x?a=b")

    assert "X-Amz-Credential=AKIAENV%2F" in url


def test_secrets_are_not_shown():
    """No `repr` shows a key."""
    settings = AWSSettings(access_key_id=Secret("k1"), secret_access_key=Secret("k2"))

    assert {"k1", "k2"}.isdisjoint(repr(settings).split("'"))
