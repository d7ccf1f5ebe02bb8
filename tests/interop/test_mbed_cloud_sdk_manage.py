"""The Device Management SDK for Python, as it is: device directory, certificates, keys of accounts, firmware updates."""

import time

import pytest
from test_mbed_cloud_sdk import device, mbed_cloud, options, the_id  # noqa: F401

LISTEN = ("coap://127.0.0.1:0", "coaps://127.0.0.1:0")


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=LISTEN)


def test_devices_are_made_changed_and_deleted(device, options):  # noqa: F811
    api = mbed_cloud.DeviceDirectoryAPI(options)
    made = api.add_device(
        mechanism="connector",
        certificate_fingerprint="ab" * 32,
        certificate_issuer_id="c" * 32,
        name="Lamp",
        custom_attributes={"room": "4"},
    )
    assert (made.name, made.custom_attributes) == ("Lamp", {"room": "4"})
    found = list(api.list_devices(filters={"custom_attributes": {"room": {"$eq": "4"}}}))
    assert [entry.id for entry in found] == [made.id]
    changed = api.update_device(made.id, description="Of the hall", custom_attributes={"room": "5"})
    assert (changed.description, changed.custom_attributes) == ("Of the hall", {"room": "5"})
    assert len(list(api.list_devices(order="desc", limit=2))) == 2
    api.delete_device(made.id)
    assert [entry.id for entry in api.list_devices()] == [the_id(options)]
    assert api.get_device(made.id) is None


def test_device_events(device, options):  # noqa: F811
    api = mbed_cloud.DeviceDirectoryAPI(options)
    id = the_id(options)
    api.update_device(id, name="One")
    events = list(api.list_device_events(filters={"device_id": {"$eq": id}}))
    assert events and events[-1].event_type.endswith("updated") and events[-1].date_time.year > 2000
    assert api.get_device_event(events[-1].id).device_id == id


def test_certificates(berth, options):  # noqa: F811
    api = mbed_cloud.CertificatesAPI(options)
    made = api.add_developer_certificate("mine", description="x")
    assert made.type == "developer" and "PRIVATE KEY" in made.developer_private_key
    assert "MBED_CLOUD_DEV_BOOTSTRAP_SERVER_URI" in made.header_file
    listed = list(api.list_certificates(filters={"type": {"$eq": "developer"}}))
    assert [entry.id for entry in listed] == [made.id]
    ca = api.add_certificate("ca", type="lwm2m", certificate_data=made.developer_certificate)
    assert ca.server_uri.startswith("coaps://") and ca.validity.year == 9999
    assert api.update_certificate(ca.id, name="other", type="lwm2m", certificate_data=made.developer_certificate).name == "other"
    for one in (made, ca):
        api.delete_certificate(one.id)
    assert list(api.list_certificates()) == []


def test_keys_and_the_account(options):  # noqa: F811
    api = mbed_cloud.AccountManagementAPI(options)
    assert api.get_account().status == "ACTIVE"
    made = api.add_api_key("mine")
    assert made.key and api.get_api_key(made.id).name == "mine"
    assert api.update_api_key(made.id, name="other").name == "other"
    assert [entry.id for entry in api.list_api_keys()] == [made.id]
    assert {"Developers", "Administrators"} <= {group.name for group in api.list_groups()}
    api.delete_api_key(made.id)


def test_enrollments(options):  # noqa: F811
    api = mbed_cloud.EnrollmentAPI(options)
    identity = "A-" + ":".join(["0f"] * 32)
    made = api.add_enrollment_claim(claim_id=identity)
    assert made.claim_id == identity
    assert [entry.id for entry in api.list_enrollment_claims()] == [made.id]
    api.delete_enrollment_claim(made.id)


def test_a_firmware_update(device, options, tmp_path):  # noqa: F811
    api = mbed_cloud.UpdateAPI(options)
    (tmp_path / "image").write_bytes(bytes(range(256)) * 20)
    image = api.add_firmware_image("image", str(tmp_path / "image"))
    assert (image.name, image.datafile_size) == ("image", 5120)
    (tmp_path / "manifest").write_bytes(b"0\x82" + image.url.encode())
    manifest = api.add_firmware_manifest("manifest", str(tmp_path / "manifest"))
    campaign = api.add_campaign("campaign", {"state": {"$eq": "registered"}}, manifest_id=manifest.id)
    assert (campaign.state, campaign.phase) == ("draft", "draft")
    api.start_campaign(campaign)
    deadline = time.monotonic() + 60
    while api.get_campaign(campaign.id).state != "autostopped" and time.monotonic() < deadline:
        time.sleep(0.05)
    [state] = api.list_campaign_device_states(campaign.id)
    assert (state.device_id, state.state) == (the_id(options), "deployed")
    api.delete_campaign(campaign.id)
    api.delete_firmware_manifest(manifest.id)
    api.delete_firmware_image(image.id)
    assert list(api.list_firmware_images()) == []
