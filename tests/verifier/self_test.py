"""Tests of the verifier itself: published vectors, and exports tampered with.

The signing function here exists only to make notes for these tests.
"""

from __future__ import annotations

import base64
import copy
import gzip
import io
import json
import subprocess
import sys
import tempfile
import threading
import unittest
from hashlib import sha256, sha512
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Callable

import ed25519
import rfc6962
from agree import check_agreement
from common import Refused, canonical_json, parse_json_object
from export import COMMITTED_FIELDS, commitment, verify_export
from note import (
    Checkpoint,
    VerifierKey,
    key_id,
    open_note,
    parse_checkpoint,
    parse_note,
    parse_verifier_key,
    read_checkpoint,
)
from tiles import Folder, Http, tile_path, tiles_of_level, verify_tiles

# RFC 8032 section 7.1: secret key, public key, message, signature.
RFC_8032_VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
        "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]

# The eight leaves of the tests of certificate-transparency, the roots of the
# trees of the first 1 to 8 of them, and proofs in the tree of all 8.
CT_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CT_INCLUSION_0_IN_8 = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
]
CT_CONSISTENCY_6_TO_8 = [
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]

# The example of the documentation of golang.org/x/mod/sumdb/note.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXg"
    "KvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

# The example of C2SP tlog-checkpoint.
C2SP_CHECKPOINT = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/"
    "Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)

ORIGIN = "example.org/audit"
SECRET = bytes(range(32))
OTHER_SECRET = bytes(range(1, 33))
SIZE = 21
OLD_SIZE = 13
DEL_AND_CONTROLS = '\x7f\x01\x1f\b\f\n\r\t"\\/é\u2028'

Line = dict[str, Any]


def _expand_secret(secret: bytes) -> tuple[int, bytes]:
    digest = sha512(secret).digest()
    scalar = int.from_bytes(digest[:32], "little")
    return scalar & ((1 << 254) - 8) | 1 << 254, digest[32:]


def public_key(secret: bytes) -> bytes:
    return ed25519.encode_point(ed25519.multiply(_expand_secret(secret)[0], ed25519.BASE))


def sign(secret: bytes, message: bytes) -> bytes:
    scalar, prefix = _expand_secret(secret)
    nonce = ed25519.hash_to_scalar(prefix + message)
    commitment_point = ed25519.encode_point(ed25519.multiply(nonce, ed25519.BASE))
    challenge = ed25519.hash_to_scalar(commitment_point + public_key(secret) + message)
    answer = (nonce + challenge * scalar) % ed25519.ORDER
    return commitment_point + answer.to_bytes(32, "little")


def verifier_key(secret: bytes, name: str = ORIGIN) -> VerifierKey:
    public = public_key(secret)
    encoded = base64.b64encode(b"\x01" + public).decode()
    return parse_verifier_key(f"{name}+{key_id(name, public).hex()}+{encoded}")


KEY = verifier_key(SECRET)
OTHER_KEY = verifier_key(OTHER_SECRET)


def signature_line(secret: bytes, text: str, name: str = ORIGIN) -> str:
    data = verifier_key(secret, name).key_id + sign(secret, text.encode())
    return f"\u2014 {name} {base64.b64encode(data).decode()}\n"


def checkpoint_text(size: int, root: bytes, origin: str = ORIGIN) -> str:
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def signed_checkpoint(size: int, root: bytes) -> str:
    text = checkpoint_text(size, root)
    return f"{text}\n{signature_line(SECRET, text)}"


def make_leaf(index: int) -> Line:
    clear: Line = {field: f"{field} {index}" for field in COMMITTED_FIELDS}
    clear["details"] = {"zone": f"z{index}", "a": DEL_AND_CONTROLS}
    salts = {field: sha256(f"{index} {field}".encode()).hexdigest()[:32] for field in clear}
    leaf: Line = {"action": "grant.created", "sequence": index}
    for field, value in clear.items():
        text = canonical_json(value) if field == "details" else value
        leaf[field] = commitment(bytes.fromhex(salts[field]), field, text)
    text = canonical_json(leaf)
    hashed = rfc6962.leaf_hash(text.encode()).hex()
    return {"index": index, "hash": hashed, "leaf": text, "clear": clear, "salts": salts}


def make_export(size: int = SIZE) -> list[Line]:
    header = {
        "format": "keywright-audit-export",
        "version": 1,
        "origin": ORIGIN,
        "size": size,
        "from": 0,
        "scope": "",
    }
    return [header] + [make_leaf(index) for index in range(size)]


def leaf_hashes(lines: list[Line]) -> list[bytes]:
    return [rfc6962.leaf_hash(line["leaf"].encode()) for line in lines[1:]]


HASHES = leaf_hashes(make_export())


def checkpoint_at(size: int) -> Checkpoint:
    return Checkpoint(ORIGIN, size, rfc6962.root_of(HASHES[:size]), ())


def hide(lines: list[Line], index: int, height: int) -> list[Line]:
    """Replaces the leaves of a subtree by its root; all leaves must be shown."""
    end = index + (1 << height)
    root = rfc6962.root_of(leaf_hashes(lines)[index:end])
    subtree = {"index": index, "height": height, "hash": root.hex()}
    return lines[: index + 1] + [subtree] + lines[end + 1 :]


def flip_hex(text: str) -> str:
    return ("1" if text[0] == "0" else "0") + text[1:]


def write_tiles(folder: Path, entries: list[bytes]) -> None:
    """The tiles and bundles of a log, as C2SP tlog-tiles defines them."""
    hashes = [rfc6962.leaf_hash(entry) for entry in entries]
    level = 0
    while hashes:
        for index, width in tiles_of_level(len(entries), level):
            tile = hashes[index * 256 : index * 256 + width]
            _write(folder / tile_path(level, index, width), b"".join(tile))
        whole = range(0, len(hashes) // 256 * 256, 256)
        hashes = [rfc6962.root_of(hashes[start : start + 256]) for start in whole]
        level += 1
    for index, width in tiles_of_level(len(entries), 0):
        bundle = entries[index * 256 : index * 256 + width]
        data = b"".join(len(entry).to_bytes(2, "big") + entry for entry in bundle)
        _write(folder / tile_path("entries", index, width), data)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


class WithFolder(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def refuses(self, pattern: str, action: Callable[..., Any], *arguments: Any) -> None:
        self.assertRaisesRegex(Refused, pattern, action, *arguments)


class Ed25519Test(unittest.TestCase):
    def test_vectors(self) -> None:
        for secret, public, message, signature in RFC_8032_VECTORS:
            data = [bytes.fromhex(text) for text in (secret, public, message, signature)]
            self.assertEqual(public_key(data[0]), data[1])
            self.assertEqual(sign(data[0], data[2]), data[3])
            self.assertTrue(ed25519.verify(*data[1:]))
            self.assertFalse(ed25519.verify(data[1], data[2] + b"x", data[3]))

    def test_altered_signatures(self) -> None:
        public, message = public_key(SECRET), b"message"
        signature = sign(SECRET, message)
        for place in range(64):
            altered = bytearray(signature)
            altered[place] ^= 1
            self.assertFalse(ed25519.verify(public, message, bytes(altered)))
        self.assertFalse(ed25519.verify(public, message, signature[:63]))

    def test_large_scalar(self) -> None:
        public, message = public_key(SECRET), b"message"
        signature = sign(SECRET, message)
        scalar = int.from_bytes(signature[32:], "little") + ed25519.ORDER
        altered = signature[:32] + scalar.to_bytes(32, "little")
        self.assertFalse(ed25519.verify(public, message, altered))

    def test_encodings_that_are_no_points(self) -> None:
        not_reduced = (ed25519.P + 1).to_bytes(32, "little")
        negative_zero = (1 | 1 << 255).to_bytes(32, "little")
        for data in (not_reduced, negative_zero, b"\x02" + bytes(31)):
            self.assertIsNone(ed25519.decode_point(data))


class MerkleTest(unittest.TestCase):
    def test_roots(self) -> None:
        tree = rfc6962.Tree([rfc6962.leaf_hash(leaf) for leaf in CT_LEAVES])
        self.assertEqual(tree.root(0), sha256().digest())
        for size, root in enumerate(CT_ROOTS, 1):
            self.assertEqual(tree.root(size).hex(), root)

    def test_proofs(self) -> None:
        tree = rfc6962.Tree([rfc6962.leaf_hash(leaf) for leaf in CT_LEAVES])
        inclusion = [value.hex() for value in tree.inclusion_proof(0, 8)]
        consistency = [value.hex() for value in tree.consistency_proof(6, 8)]
        self.assertEqual(inclusion, CT_INCLUSION_0_IN_8)
        self.assertEqual(consistency, CT_CONSISTENCY_6_TO_8)

    def test_building_and_verifying_agree(self) -> None:
        check_agreement(proof_lines(range(40)))


def proof_lines(sizes: range) -> list[bytes]:
    """What a right program under test would say of each single proof."""
    tree = rfc6962.Tree([rfc6962.leaf_hash(b"entry %d" % i) for i in range(sizes.stop)])
    lines: list[Line] = []
    for size in sizes:
        root = tree.root(size).hex()
        for index in range(size):
            proof = [value.hex() for value in tree.inclusion_proof(index, size)]
            lines.append({"size": size, "index": index, "proof": proof, "root": root})
        for first in range(size + 1):
            proof = [value.hex() for value in tree.consistency_proof(first, size)]
            lines.append({"size": size, "from": first, "proof": proof, "root": root})
    return [json.dumps(line).encode() for line in lines]


class AgreeTest(WithFolder):
    def test_digests_of_size_two(self) -> None:
        left, right = rfc6962.leaf_hash(b"entry 0"), rfc6962.leaf_hash(b"entry 1")
        line = {
            "size": 2,
            "root": rfc6962.node_hash(left, right).hex(),
            "inclusion": sha256(b"\x01" + right + b"\x01" + left).hexdigest(),
            "consistency": sha256(b"\x00" + b"\x01" + right + b"\x00").hexdigest(),
        }
        summary = check_agreement([json.dumps(line).encode()])
        self.assertEqual(summary, "1 roots, 5 proofs")
        for field in ("root", "inclusion", "consistency"):
            altered = line | {field: flip_hex(line[field])}
            self.refuses("line 1: .*differ", check_agreement, [json.dumps(altered).encode()])

    def test_other_proofs(self) -> None:
        for line in map(json.loads, proof_lines(range(7, 8))):
            altered = line | {"proof": line["proof"] + ["00" * 32]}
            self.refuses("proof .*differs", check_agreement, [json.dumps(altered).encode()])

    def test_bad_input(self) -> None:
        self.refuses("empty", check_agreement, [])
        for line in (b"\xff", b"[]", b"{}", b'{"size":-1}', b'{"size":1e9}', b"{" * 100_000):
            self.refuses("line 1: ", check_agreement, [line])


class NoteTest(WithFolder):
    def test_published_note(self) -> None:
        key = parse_verifier_key(GO_KEY)
        self.assertEqual(open_note(GO_NOTE.encode(), [key]), GO_NOTE.split("\n\n")[0] + "\n")
        altered = GO_NOTE.replace("answer", "Answer").encode()
        self.refuses("is wrong", open_note, altered, [key])

    def test_published_checkpoint(self) -> None:
        text, signatures = parse_note(C2SP_CHECKPOINT.encode())
        self.assertEqual(parse_checkpoint(text).size, 20852163)
        self.assertEqual(signatures[0].key_id.hex(), "033de0ae")

    def test_several_signatures(self) -> None:
        text = checkpoint_text(0, rfc6962.EMPTY_ROOT)
        good, other = signature_line(SECRET, text), signature_line(OTHER_SECRET, text)
        forged = signature_line(OTHER_SECRET, text + "x")
        note = f"{text}\n{forged}{good}".encode()
        open_note(note, [KEY])
        self.refuses("is wrong", open_note, note, [KEY, OTHER_KEY])
        open_note(f"{text}\n{other}{good}".encode(), [KEY, OTHER_KEY])
        self.refuses("no signature by a given key", open_note, f"{text}\n{other}".encode(), [KEY])

    def test_blank_lines_in_the_text(self) -> None:
        text = "one\n\ntwo\n"
        note = f"{text}\n{signature_line(SECRET, text)}".encode()
        self.assertEqual(open_note(note, [KEY]), text)

    def test_malformed_notes(self) -> None:
        good = signed_checkpoint(0, rfc6962.EMPTY_ROOT)
        bad_notes = [
            "",
            good[:-1],
            good.replace("\n\n", "\n"),
            good.replace("\u2014", "-"),
            good.replace("\u2014 ", "\u2014  "),
            good.replace("\n", "\r\n"),
            good + "\n",
            good[:-3] + "\n",
            good.split("\n\n")[0] + "\n\n",
            good.split("\n\n")[0] + "\n\n\u2014 name AAAA\n",
        ]
        for note in bad_notes:
            self.refuses("", open_note, note.encode(), [KEY])
        self.refuses("UTF-8", open_note, b"\xff" + good.encode(), [KEY])

    def test_malformed_keys(self) -> None:
        name, hex_id, encoded = GO_KEY.split("+", 2)
        bad_keys = [
            "",
            name,
            f"+{hex_id}+{encoded}",
            f"{name} +{hex_id}+{encoded}",
            f"{name}+{flip_hex(hex_id)}+{encoded}",
            f"{name}+{hex_id.upper()}+{encoded}",
            f"{name}+{hex_id}+{encoded[:-4]}",
            f"{name}+{hex_id}+BRpc{encoded[4:]}",
            f"{name}+{hex_id}+{encoded}=",
        ]
        for key in bad_keys:
            self.refuses("verifier key", parse_verifier_key, key)

    def test_malformed_checkpoints(self) -> None:
        root = base64.b64encode(rfc6962.EMPTY_ROOT).decode()
        for size in ("00", "01", "-1", "+1", "1.0", "", " 1", "\u0661", str(1 << 63)):
            self.refuses("checkpoint", parse_checkpoint, f"o\n{size}\n{root}\n")
        for text in ("o\n1\n", f"\n1\n{root}\n", f"o\n1\n{root[:-4]}\n", f"o\n1\n{root}\n\n"):
            self.refuses("checkpoint", parse_checkpoint, text)
        extended = parse_checkpoint(f"o\n1\n{root}\nextension\n")
        self.assertEqual(extended.extensions, ("extension",))


class TilesTest(WithFolder):
    def setUp(self) -> None:
        super().setUp()
        self.entries = [b"entry %d" % index for index in range(600)]
        write_tiles(self.folder, self.entries)
        hashes = [rfc6962.leaf_hash(entry) for entry in self.entries]
        self.root = rfc6962.root_of(hashes)
        self.early_root = rfc6962.root_of(hashes[:300])

    def verify(self, size: int = 600, root: bytes = b"") -> None:
        verify_tiles(Folder(str(self.folder)), size, root or self.root, True)

    def flip(self, path: str, place: int = 2) -> None:
        data = bytearray((self.folder / path).read_bytes())
        data[place] ^= 1
        (self.folder / path).write_bytes(data)

    def test_paths(self) -> None:
        self.assertEqual(tile_path(0, 1234067), "tile/0/x001/x234/067")
        self.assertEqual(tile_path(1, 0, 17), "tile/1/000.p/17")
        self.assertEqual(tile_path(63, 999), "tile/63/999")
        self.assertEqual(tile_path("entries", 1000, 1), "tile/entries/x001/000.p/1")

    def test_widths_in_the_example_of_the_text(self) -> None:
        level_0 = list(tiles_of_level(70_000, 0))
        self.assertEqual((len(level_0), level_0[-1]), (274, (273, 112)))
        self.assertEqual(list(tiles_of_level(70_000, 1)), [(0, 256), (1, 17)])
        self.assertEqual(list(tiles_of_level(70_000, 2)), [(0, 1)])
        self.assertEqual(list(tiles_of_level(256, 0)), [(0, 256)])
        self.assertEqual(list(tiles_of_level(256, 1)), [(0, 1)])

    def test_good_tiles(self) -> None:
        self.verify()
        verify_tiles(Folder(str(self.folder)), 0, rfc6962.EMPTY_ROOT, True)

    def test_full_tile_stands_in_for_a_partial_one(self) -> None:
        level_1 = (self.folder / "tile/1/000.p/2").read_bytes()
        _write(self.folder / "tile/1/000.p/1", level_1[:32])
        self.verify(300, self.early_root)

    def test_tampering(self) -> None:
        for path, pattern in (
            ("tile/0/001", "do not give the root"),
            ("tile/1/000.p/2", "tile/1/000.p/2: does not agree"),
            ("tile/entries/002.p/88", "entry 512: does not hash"),
        ):
            self.flip(path)
            self.refuses(pattern, self.verify)
            self.flip(path)
        self.verify()

    def test_damage(self) -> None:
        for path in ("tile/0/000", "tile/1/000.p/2", "tile/entries/001", "tile/entries/002.p/88"):
            data = (self.folder / path).read_bytes()
            for damaged in (b"", data[:-1], data[:-32], data + b"\x00\x00"):
                (self.folder / path).write_bytes(damaged)
                self.refuses(path, self.verify)
            (self.folder / path).unlink()
            self.refuses(f"{path}: missing", self.verify)
            _write(self.folder / path, data)

    def test_http(self) -> None:
        base = serve(self, self.folder)
        verify_tiles(Http(base, "secret"), 600, self.root, True)
        for token in (None, "other"):
            source = Http(base + "/", token)
            self.refuses("answered 401", verify_tiles, source, 600, self.root, False)
        source = Http(base, "secret")
        self.refuses("missing", verify_tiles, source, 601, self.root, False)
        self.refuses("answered 302", verify_tiles, Http(base + "/moved", "secret"), 1, b"", False)


def serve(test: unittest.TestCase, folder: Path) -> str:
    """Serves a folder over HTTP, compressed, to those who know the token."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = folder / self.path.removeprefix("/")
            if self.headers["Authorization"] != "Bearer secret":
                self.send_response(401)
                self.end_headers()
            elif self.path.startswith("/moved"):
                self.send_response(302)
                self.send_header("Location", "/tile/0/000")
                self.end_headers()
            elif not path.is_file():
                self.send_response(404)
                self.end_headers()
            else:
                self.send_response(200)
                self.send_header("Content-Encoding", "gzip")
                self.end_headers()
                self.wfile.write(gzip.compress(path.read_bytes()))

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    test.addCleanup(server.server_close)
    test.addCleanup(server.shutdown)
    return f"http://127.0.0.1:{server.server_port}"


class ExportTest(WithFolder):
    def verify(self, lines: list[Line], since: Checkpoint | None = None, size: int = SIZE) -> str:
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        return self.verify_bytes(text.encode(), since, size)

    def verify_bytes(
        self, data: bytes, since: Checkpoint | None = None, size: int = SIZE
    ) -> str:
        path = self.folder / "export.jsonl"
        path.write_bytes(data)
        tiles = Folder(str(self.folder)) if (self.folder / "tile").exists() else None
        return verify_export(str(path), checkpoint_at(size), since, tiles)

    def test_whole_export(self) -> None:
        self.assertIn("21 entries shown, 0 subtrees", self.verify(make_export()))
        self.verify(make_export(), checkpoint_at(OLD_SIZE))
        for size in range(SIZE + 1):
            self.verify(make_export(), checkpoint_at(0), size)

    def test_entries_newer_than_the_checkpoint(self) -> None:
        self.assertIn("last 8 entries are newer", self.verify(make_export(), None, OLD_SIZE))

    def test_hidden_subtrees(self) -> None:
        lines = hide(make_export(), 0, 3)
        self.assertIn("1 subtrees not shown", self.verify(lines, checkpoint_at(OLD_SIZE)))
        whole = make_export()
        lines = hide(whole, 0, 3)[:2] + whole[9:17] + hide(whole, 16, 2)[17:]
        self.assertIn("2 subtrees not shown", self.verify(lines, checkpoint_at(OLD_SIZE)))
        self.verify(hide(make_export(), 5, 0))
        self.verify(hide(make_export(), 16, 2))

    def test_subtree_across_a_checkpoint(self) -> None:
        lines = hide(make_export(), 8, 3)
        self.verify(lines)
        pattern = "entry 8: .*cut at 13"
        self.refuses(pattern, self.verify, lines, checkpoint_at(OLD_SIZE))
        self.refuses(pattern, self.verify, lines, None, OLD_SIZE)

    def test_erased_fields(self) -> None:
        lines = make_export()
        lines[1]["clear"], lines[1]["salts"] = {}, {}
        del lines[2]["clear"]["actor"], lines[2]["salts"]["actor"]
        self.assertIn("6 fields erased", self.verify(lines))
        lines[3]["salts"] = {}
        self.refuses("entry 2: .*same fields", self.verify, lines)

    def test_canonical_json(self) -> None:
        expected = '"\x7f\\u0001\\u001f\\b\\f\\n\\r\\t\\"\\\\/é\u2028"'
        self.assertEqual(canonical_json(DEL_AND_CONTROLS), expected)

    def test_tampered_leaf(self) -> None:
        lines = make_export()
        lines[8]["leaf"] = lines[8]["leaf"].replace("created", "Created")
        self.refuses("entry 7: .*hash beside it", self.verify, lines)
        lines[8]["hash"] = rfc6962.leaf_hash(lines[8]["leaf"].encode()).hex()
        self.refuses("do not give the root", self.verify, lines)
        entries = [line["leaf"].encode() for line in make_export()[1:]]
        write_tiles(self.folder, entries)
        self.refuses("entry 7: the leaf differs", self.verify, lines)
        lines = hide(make_export(), 4, 2)
        lines[5]["hash"] = flip_hex(lines[5]["hash"])
        self.refuses("entry 4: the subtree of height 2 differs", self.verify, lines)
        write_tiles(self.folder, [b"other"] + entries[1:])
        self.refuses("neither the entries nor the tiles", self.verify, lines)

    def test_tampered_hash(self) -> None:
        lines = hide(make_export(), 0, 2)
        lines[1]["hash"] = flip_hex(lines[1]["hash"])
        self.refuses("do not give the root", self.verify, lines)

    def test_tampered_clear_value_or_salt(self) -> None:
        for field in COMMITTED_FIELDS:
            lines = make_export()
            lines[5]["clear"][field] = {"a": "b"} if field == "details" else "somebody"
            self.refuses(f"entry 4: .*value and salt of {field}", self.verify, lines)
            lines = make_export()
            lines[5]["salts"][field] = flip_hex(lines[5]["salts"][field])
            self.refuses(f"entry 4: .*value and salt of {field}", self.verify, lines)

    def test_lines_moved(self) -> None:
        lines = make_export()
        self.refuses("entry 6: missing or out of order", self.verify, lines[:7] + lines[8:])
        self.refuses("entry 7: .*came before", self.verify, lines[:8] + lines[7:])
        swapped = lines[:7] + [lines[8], lines[7]] + lines[9:]
        self.refuses("entry 6: missing or out of order", self.verify, swapped)
        self.refuses("entry 21: beyond the size", self.verify, lines + [make_leaf(SIZE)])
        self.refuses("entry 20: missing, the export ends", self.verify, lines[:-1])
        self.refuses("entry 0: missing, the export ends", self.verify, lines[:1])

    def test_renumbered_lines(self) -> None:
        lines = make_export()
        lines[7], lines[8] = lines[8] | {"index": 6}, lines[7] | {"index": 7}
        self.refuses("do not give the root", self.verify, lines)

    def test_truncated_anywhere(self) -> None:
        data = "".join(json.dumps(line) + "\n" for line in make_export(3)).encode()
        path = self.folder / "export.jsonl"
        for end in range(len(data) - 1):
            path.write_bytes(data[:end])
            self.refuses("", verify_export, str(path), checkpoint_at(3), None, None)

    def test_fork(self) -> None:
        forked = Checkpoint(ORIGIN, OLD_SIZE, rfc6962.root_of(HASHES[1 : OLD_SIZE + 1]), ())
        self.refuses("rewritten or forked", self.verify, make_export(), forked)
        same_size = Checkpoint(ORIGIN, SIZE, forked.root, ())
        self.refuses("rewritten or forked", self.verify, make_export(), same_size)

    def test_other_checkpoints(self) -> None:
        former = Checkpoint("example.org/former", OLD_SIZE, checkpoint_at(OLD_SIZE).root, ())
        self.assertIn(f"{SIZE} entries", self.verify(make_export(), former))
        self.refuses("is the larger", self.verify, make_export(), checkpoint_at(SIZE), OLD_SIZE)

    def test_header(self) -> None:
        for field, value, pattern in (
            ("format", "other", "format"),
            ("version", 2, "version"),
            ("version", True, "version"),
            ("origin", "example.org/other", "origin"),
            ("origin", 7, "origin"),
            ("size", SIZE - 1, "the export has 20 entries"),
            ("size", "21", "size"),
            ("from", 1, "only a whole export"),
            ("scope", "somebody", "scope"),
            ("more", "", "missing or unknown"),
        ):
            lines = make_export()
            lines[0][field] = value
            self.refuses(f"header: .*{pattern}", self.verify, lines)
        self.refuses("header: .*format", self.verify, make_export()[1:])
        self.refuses("header: the export is empty", self.verify_bytes, b"")

    def test_malformed_leaves(self) -> None:
        good = make_leaf(0)
        lone_surrogate = {"leaf": '{"a":"\ud800"}', "clear": {}, "salts": {}}
        for change in (
            {"leaf": 7},
            {"leaf": "{"},
            {"leaf": good["leaf"].replace(":", ": ", 1)},
            {"leaf": '{"b":1,"a":1}', "clear": {}, "salts": {}},
            {"leaf": '{"a":1,"a":1}', "clear": {}, "salts": {}},
            {"leaf": '{"actor":"alice"}', "clear": {}, "salts": {}},
            {"leaf": "[" * 100_000},
            lone_surrogate,
            {"leaf": "{}"},
            {"clear": []},
            {"clear": good["clear"] | {"details": {"a": 1}}},
            {"clear": good["clear"] | {"details": "text"}},
            {"clear": good["clear"] | {"actor": 1}},
            {"clear": good["clear"] | {"other": ""}, "salts": good["salts"] | {"other": "00"}},
            {"salts": good["salts"] | {"actor": "00"}},
            {"index": "0"},
            {"index": -1},
            {"index": True},
            {"more": 1},
        ):
            lines = make_export()
            lines[1] = copy.deepcopy(good) | change
            text = "".join(json.dumps(line) + "\n" for line in lines)
            self.refuses("^entry 0: ", self.verify_bytes, text.encode())

    def test_malformed_subtrees(self) -> None:
        for index, change, pattern in (
            (4, {"height": 3}, "cannot begin"),
            (4, {"height": -1}, "height"),
            (0, {"height": 5}, "beyond the size"),
            (0, {"height": 1000}, "height"),
            (4, {"hash": "00"}, "hash"),
            (4, {"hash": "AA" * 32}, "hash"),
        ):
            lines = hide(make_export(), index, 2)
            lines[index + 1] |= change
            self.refuses(f"^entry {index}: .*{pattern}", self.verify, lines)

    def test_garbage(self) -> None:
        header = json.dumps(make_export()[0]).encode() + b"\n"
        for garbage in (b"\n", b"\xff\xfe\n", b"\x00" * 100, b"null\n", b'{"index":NaN}\n'):
            self.refuses("^header: ", self.verify_bytes, garbage)
            self.refuses("^entry 0: ", self.verify_bytes, header + garbage)
        long_line = b" " * (1 << 23)
        self.refuses("too long", self.verify_bytes, header + long_line)
        many_digits = b'{"index":' + b"9" * 10_000 + b"}"
        self.refuses("^entry 0: ", self.verify_bytes, header + many_digits)


class CheckpointFileTest(WithFolder):
    def test_forged_signature(self) -> None:
        text = checkpoint_text(SIZE, checkpoint_at(SIZE).root)
        path = self.folder / "checkpoint"
        path.write_text(signed_checkpoint(SIZE, checkpoint_at(SIZE).root), encoding="utf-8")
        self.assertEqual(read_checkpoint(str(path), [KEY]), checkpoint_at(SIZE))
        self.refuses("no signature by a given key", read_checkpoint, str(path), [OTHER_KEY])
        forged = base64.b64encode(KEY.key_id + sign(OTHER_SECRET, text.encode())).decode()
        path.write_text(f"{text}\n\u2014 {ORIGIN} {forged}\n", encoding="utf-8")
        self.refuses("is wrong", read_checkpoint, str(path), [KEY])

    def test_repeated_keys_in_json(self) -> None:
        self.refuses("same key twice", parse_json_object, '{"a":1,"a":2}')


class CommandTest(WithFolder):
    def command(self, *arguments: str, stdin: bytes = b"") -> tuple[int, str]:
        script = str(Path(__file__).with_name("verify.py"))
        result = subprocess.run(
            [sys.executable, script, *arguments], input=stdin, capture_output=True, check=False
        )
        self.assertEqual(result.stderr, b"")
        return result.returncode, result.stdout.decode()

    def test_verified_and_refused(self) -> None:
        lines = make_export()
        export, checkpoint = self.folder / "export.jsonl", self.folder / "checkpoint"
        export.write_text("".join(json.dumps(line) + "\n" for line in lines))
        checkpoint.write_text(
            signed_checkpoint(SIZE, checkpoint_at(SIZE).root), encoding="utf-8"
        )
        write_tiles(self.folder, [line["leaf"].encode() for line in lines[1:]])
        encoded = base64.b64encode(b"\x01" + KEY.public).decode()
        key = f"{KEY.name}+{KEY.key_id.hex()}+{encoded}"
        common = ["--checkpoint", str(checkpoint), "--key", key]
        good = (0, rf"\Averified: {ORIGIN} at size {SIZE}.*\n\Z")
        bad = (1, r"\Arefused: .*\n\Z")
        for arguments, (status, pattern) in (
            (["export", "--export", str(export), *common], good),
            (["export", "--export", str(export), *common, "--since", str(checkpoint)], good),
            (["tiles", str(self.folder), *common, "--entries"], good),
            (["export", "--export", str(self.folder), *common], bad),
            (["export", "--export", str(checkpoint), *common], bad),
            (["export", "--export", str(export), *common, "--since", str(export)], bad),
            (["tiles", str(self.folder / "none"), *common], bad),
            (["tiles", "http://[", *common], bad),
        ):
            result = self.command(*arguments)
            self.assertEqual(result[0], status)
            self.assertRegex(result[1], pattern)

    def test_agreed_and_disagreed(self) -> None:
        lines = b"\n".join(proof_lines(range(3)))
        self.assertEqual(
            self.command("agree", stdin=lines), (0, "agreed: 9 roots, 9 proofs\n")
        )
        self.assertEqual(
            self.command("agree", stdin=b"\xff"), (1, "disagreed: line 1: not UTF-8\n")
        )


def run_self_test() -> str:
    """Runs all tests; returns how many in one line."""
    suite = unittest.TestSuite()
    loader = unittest.TestLoader()
    for case in (
        Ed25519Test,
        MerkleTest,
        AgreeTest,
        NoteTest,
        TilesTest,
        ExportTest,
        CheckpointFileTest,
        CommandTest,
    ):
        suite.addTests(loader.loadTestsFromTestCase(case))
    result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
    problems = result.failures + result.errors
    if problems:
        names = ", ".join(test.id() for test, _ in problems)
        raise Refused(f"self-test: {len(problems)} of {result.testsRun} failed: {names}")
    return f"self-test, {result.testsRun} tests"
