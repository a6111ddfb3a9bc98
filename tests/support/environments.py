"""Environments that settings are loaded from."""

from __future__ import annotations

import pytest

from image_gateway.settings import Settings, SettingsError, SettingsSchema, load_settings

LEAST = {"S3_BUCKET": "images", "AWS_REGION": "us-east-1"}
KEY = "{0}BEGIN PRIVATE KEY{0}\nMIIEvHIDDENHIDDENHIDDEN\n{0}END PRIVATE KEY{0}".format("-" * 5)
CLOUDFRONT = {
    "CLOUDFRONT_DOMAIN": "d1.cloudfront.net",
    "CLOUDFRONT_KEY_PAIR_ID": "K2JCJMDEHXQW5F",
    "CLOUDFRONT_PRIVATE_KEY_PEM": KEY,
}
VARIABLES = [field.data_key for field in SettingsSchema().fields.values()]


def load(**environ: str) -> Settings:
    return load_settings({**LEAST, **environ})


def problems(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(**environ)
    return caught.value.problems
