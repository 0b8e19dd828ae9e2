"""An internal service in Python, over plain gRPC: holds a reference, is handed a key, asks for a signature.

usage: internal_service.py ADDRESS CREDENTIAL SERVER KEY_FILE, with the token in KEYWRIGHT_TOKEN and the generated
modules of proto/ on PYTHONPATH. Prints one line of JSON a call: its answer, or the reason of the refusal.
"""

import json
import os
import sys

import grpc
from google.rpc import error_details_pb2, status_pb2
from keywright.credential.v1 import directory_service_pb2, directory_service_pb2_grpc
from keywright.credential.v1 import resolve_service_pb2, resolve_service_pb2_grpc
from keywright.credential.v1 import signing_service_pb2, signing_service_pb2_grpc

DEADLINE = 30


def refusal(error):
    """The reason and the advised delay of a refusal: google.rpc.ErrorInfo and RetryInfo."""
    told = {"code": error.code().name}
    for key, value in error.trailing_metadata():
        if key != "grpc-status-details-bin":
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                told["reason"] = info.reason
            elif detail.Unpack(retry):
                told["retry_after"] = retry.retry_delay.ToMilliseconds() / 1000
    return told


def call(method, request):
    metadata = [("authorization", "Bearer " + os.environ["KEYWRIGHT_TOKEN"])]
    try:
        return method(request, metadata=metadata, timeout=DEADLINE), None
    except grpc.RpcError as error:
        return None, refusal(error)


def say(what, told):
    print(json.dumps({"call": what, **told}), flush=True)


def main():
    address, credential, server, key_file = sys.argv[1:]
    channel = grpc.insecure_channel(address)
    directory = directory_service_pb2_grpc.DirectoryServiceStub(channel)
    resolve = resolve_service_pb2_grpc.ResolveServiceStub(channel)
    signing = signing_service_pb2_grpc.SigningServiceStub(channel)

    held = {"credential_id": credential, "owner": "python/job", "purpose": "nightly"}
    _, refused = call(directory.AddReference, directory_service_pb2.AddReferenceRequest(**held))
    say("add_reference", refused or {})

    wanted = resolve_service_pb2.ResolveRequest(credential_id=credential, purpose="nightly job", server_id=server)
    key, refused = call(resolve.Resolve, wanted)
    if key:
        with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key.private_key)
        say("resolve", {"username": key.username, "version": key.version, "public_key": key.public_key})
    else:
        say("resolve", refused)

    keys, refused = call(signing.ListSigningKeys, signing_service_pb2.ListSigningKeysRequest())
    say("list_signing_keys", refused or {"credentials": [key.credential_id for key in keys.items]})
    login = signing_service_pb2.SignLoginRequest(
        credential_id=credential, server_id=server, session_id=bytes(32), username="deploy",
        algorithm="ssh-ed25519", host_key=b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32), host_signature=b"none",
    )
    signed, refused = call(signing.SignLogin, login)
    say("sign_login", refused or {"signature": signed.signature.hex()})


main()
