"""The checker itself: it must refuse what some client would misread."""

import json

import pytest

from tests.protocol.dialect import NotInDialect, check_bundle

GOOD = rb'{"packetId":4,"responses":[{"status":200,"data":{"name":"a\u005c","list":[1,"}"],"none":null}}]}'


def test_a_good_answer_is_returned_decoded() -> None:
    assert check_bundle(GOOD, messages=1) == json.loads(GOOD)


@pytest.mark.parametrize(
    ("rule", "body"),
    [
        ("ASCII", '{"packetId":0,"responses":[{"status":200,"data":"é"}]}'.encode()),
        ("white space", b'{"packetId":0,"responses":[{"status":200,"data": null}]}'),
        ("u005c", rb'{"packetId":0,"responses":[{"status":200,"data":"a\\"}]}'),
        ("packetId comes first", b'{"responses":[{"status":200,"data":null}],"packetId":0}'),
        ("bare number", b'{"packetId":"0","responses":[{"status":200,"data":null}]}'),
        ("bare number", b'{"packetId":0.0,"responses":[{"status":200,"data":null}]}'),
        ("at least one", b'{"packetId":0,"responses":[]}'),
        ("empty list of events", b'{"packetId":0,"responses":[{"status":200,"data":null}],"events":[]}'),
        ("other keys", b'{"packetId":0,"responses":[{"status":200,"data":null}],"more":1}'),
        ("whole number as status", b'{"packetId":0,"responses":[{"status":"200","data":null}]}'),
        (
            "success has no reason_code",
            b'{"packetId":0,"responses":[{"status":200,"data":null,"reason_code":1}]}',
        ),
        ("success has data", b'{"packetId":0,"responses":[{"status":200}]}'),
        ("whole number as reason_code", b'{"packetId":0,"responses":[{"status":403}]}'),
        ("text as status_message", b'{"packetId":0,"responses":[{"status":403,"reason_code":1}]}'),
        ("severity", b'{"packetId":0,"responses":[{"status":403,"reason_code":1,"status_message":""}]}'),
        ("needs no escaping", rb'{"packetId":0,"responses":[{"status":200,"data":{"sessionId":"\u0061"}}]}'),
        ("no key twice", b'{"packetId":0,"responses":[{"status":200,"data":null,"data":null}]}'),
        ("no JSON", b'{"packetId":0,"responses":[{"status":200,"data":NaN}]}'),
    ],
)
def test_what_a_client_would_misread_is_found(rule: str, body: bytes) -> None:
    with pytest.raises(NotInDialect, match=rule):
        check_bundle(body)


def test_a_missing_entry_is_found() -> None:
    with pytest.raises(NotInDialect, match="one entry for each message"):
        check_bundle(GOOD, messages=2)
