#!/usr/bin/env python3
"""Verifies the folder of a Foldlog relay. Written from docs/format.md alone, with the Python 3 standard library.

    verify_folder.py <folder with objects>...    one line for each thing verified, then `verified`, or `FAILED` and the object;
                                                 exit code 0 when all folders verified
    verify_folder.py --signatures <vectors.json> the Ed25519 rule against vectors
    verify_folder.py --bodies <vectors.json>     the body rule against vectors

It stops at a folder's first failure and names the object. It is short rather than fast: some hundred signatures a second.
"""

import functools
import hashlib
import json
import math
import os
import re
import struct
import sys
import zlib

ZEROS = bytes(32)
U64_MAX = 2**53 - 1


class Bad(Exception):
    """A broken MUST. The message names the object."""


# --- Ed25519 under the strict rule (docs/format.md#ed25519, RFC 8032 §5.1) -------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)
SMALL_Y = 2707385501144840649318225287225658788936804267575313519463743609750303402022
SMALL_ORDER_Y = {0, 1, P - 1, SMALL_Y, P - SMALL_Y}
NEUTRAL = (0, 1, 1, 0)


def add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(scalar, point):
    result = NEUTRAL
    while scalar > 0:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def encode_point(p):
    inverse = pow(p[2], P - 2, P)
    x, y = p[0] * inverse % P, p[1] * inverse % P
    return (y | ((x & 1) << 255)).to_bytes(32, "little")


def decode_point(encoded):
    value = int.from_bytes(encoded, "little")
    y, sign = value & (2**255 - 1), value >> 255
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * SQRT_M1 % P
    if v * x * x % P != u:
        return None
    if x == 0 and sign == 1:
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE = decode_point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def is_plain_point(encoded):
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    return y < P and y not in SMALL_ORDER_Y


@functools.lru_cache(maxsize=10_000)
def is_signature(key, message, signature):
    if len(key) != 32 or len(signature) != 64:
        return False
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if s >= L or not is_plain_point(key) or not is_plain_point(r):
        return False
    a = decode_point(key)
    if a is None:
        return False
    k = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L
    minus_a = (P - a[0], a[1], a[2], P - a[3])
    return encode_point(add(multiply(s, BASE), multiply(k, minus_a))) == r


# --- Tags, ids, reading ---------------------------------------------------------------------------------------------------


def tag(name):
    return b"foldlog/v1/" + name.encode() + b"\0"


def sha256(data):
    return hashlib.sha256(data).digest()


def key_id(public_key):
    return sha256(tag("key") + b"\x01" + public_key)[:16]


class Reader:
    """Reads fields in order; `where` names the object in every complaint."""

    def __init__(self, data, where):
        self.data, self.where, self.at = data, where, 0

    def bad(self, what):
        return Bad(f"{self.where}: at byte {self.at}: {what}")

    def bytes(self, length):
        if len(self.data) - self.at < length:
            raise self.bad(f"{len(self.data) - self.at} bytes left, {length} needed")
        part = self.data[self.at : self.at + length]
        self.at += length
        return part

    def number(self, length, low=0, high=U64_MAX):
        value = int.from_bytes(self.bytes(length), "big")
        if not low <= value <= high:
            raise self.bad(f"{value} is not from {low} to {high}")
        return value

    def zeros(self, length):
        if any(self.bytes(length)):
            raise self.bad("a reserved byte is set")

    def preamble(self, *kinds):
        """Checks the preamble in the order of the document and returns its kind."""
        magic, kind, form, suite, flags = self.bytes(4), *self.bytes(4)
        if magic != b"FOLD":
            raise self.bad("not Foldlog's bytes")
        if form > 1 or suite > 1:
            raise self.bad(f"newer: format {form}, suite {suite}")
        if form != 1 or suite != 1:
            raise self.bad(f"format {form}, suite {suite}")
        if flags != 0 or not 1 <= kind <= 9:
            raise self.bad(f"newer: kind {kind}, flags {flags}")
        if kind not in kinds:
            raise self.bad(f"kind {kind} in the wrong place")
        return kind

    def end(self):
        if self.at != len(self.data):
            raise self.bad(f"{len(self.data) - self.at} bytes after the end")


# --- The body rule (docs/format.md#body) ------------------------------------------------------------------------------------

CLASS_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
SHORT_ESCAPES = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


class Number(str):
    """A JSON number as it is spelled."""


class Void(Exception):
    """A body that breaks the rule."""


def text_to_json(text):
    if any(0xD800 <= ord(char) <= 0xDFFF for char in text):
        raise Void("a lone surrogate")
    escaped = (SHORT_ESCAPES.get(ord(c)) or (f"\\u{ord(c):04x}" if ord(c) < 32 else c) for c in text)
    return '"' + "".join(escaped) + '"'


def number_to_json(spelled):
    """Number::toString of what the spelling means (ECMAScript §6.1.6.1.20)."""
    value = float(spelled)
    if not math.isfinite(value) or abs(value) >= 2**53:
        raise Void("a number beyond 2^53-1")
    if value == 0:
        return "0"  # also for -0, whose spelling therefore differs
    sign, value = ("-", -value) if value < 0 else ("", value)
    mantissa, exponent = f"{value!r}e0".split("e")[:2]
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole.lstrip("0")) + int(exponent) if whole.strip("0") else int(exponent) - (
        len(fraction) - len(fraction.lstrip("0"))
    )
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    rest = "." + digits[1:] if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def is_index(key):
    return re.fullmatch(r"0|[1-9][0-9]*", key) is not None and int(key) <= 2**32 - 2


def to_json(value, depth):
    """Spells a value the one way; objects are lists of pairs inside a tuple."""
    if isinstance(value, Number):
        return number_to_json(value)
    if isinstance(value, str):
        return text_to_json(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if depth >= 64:
        raise Void("nested too deep")
    if isinstance(value, list):
        return "[" + ",".join(to_json(each, depth + 1) for each in value) + "]"
    pairs = value[0]
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise Void("a key twice")
    if any(key in ("__proto__", "constructor", "prototype") for key in keys):
        raise Void("a forbidden key")
    first = sorted((key for key in keys if is_index(key)), key=int)
    if keys[: len(first)] != first:
        raise Void("index keys out of order")
    return "{" + ",".join(text_to_json(key) + ":" + to_json(each, depth + 1) for key, each in pairs) + "}"


def parse_json(data):
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=lambda pairs: (pairs,),
            parse_int=Number,
            parse_float=Number,
            parse_constant=no_constant,
        )
    except (ValueError, RecursionError) as cause:
        raise Void(f"not JSON: {cause}") from None
    return text, value


def no_constant(name):
    raise ValueError(f"{name} is not JSON")


def utf16_length(text):
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def read_ops(data, op_count):
    """The ops of a body, or Void."""
    text, ops = parse_json(data)
    if not isinstance(ops, list) or len(ops) != op_count:
        raise Void("not that many ops")
    spelled = []
    for op in ops:
        if not isinstance(op, list) or not 3 <= len(op) <= 4:
            raise Void("not an op")
        name, version = op[0], op[1]
        if isinstance(name, Number) or not isinstance(name, str):
            raise Void("a class that is no text")
        if len(name) > 64 or CLASS_NAME.fullmatch(name) is None:
            raise Void("a bad class")
        if not isinstance(version, Number) or re.fullmatch(r"[1-9][0-9]{0,4}", version) is None or int(version) > 65535:
            raise Void("a bad version")
        parts = [text_to_json(name), version, to_json(op[2], 0)]
        if len(op) == 4:
            if isinstance(op[3], Number) or not isinstance(op[3], str) or not 1 <= utf16_length(op[3]) <= 256:
                raise Void("a bad id")
            parts.append(text_to_json(op[3]))
        spelled.append("[" + ",".join(parts) + "]")
    if "[" + ",".join(spelled) + "]" != text:
        raise Void("a second spelling")
    return ops


# --- Control log (docs/format.md#control, #acts) ------------------------------------------------------------------------------

ROLES = ["owner", "admin", "writer", "reader"]


def at_least(role, needed):
    return ROLES.index(role) <= ROLES.index(needed)


def from_base64url(text, length, bad):
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    if isinstance(text, Number) or not isinstance(text, str) or any(char not in alphabet for char in text):
        raise bad("not base64url")
    bits = "".join(f"{alphabet.index(char):06b}" for char in text)
    if len(text) != -(-length * 4 // 3) or "1" in bits[length * 8 :]:
        raise bad(f"not {length} bytes of base64url")
    return bytes(int(bits[i : i + 8], 2) for i in range(0, length * 8, 8))


def name_of(text, bad):
    if isinstance(text, Number) or not isinstance(text, str) or not 1 <= utf16_length(text) <= 64 or ".." in text:
        raise bad("a bad name")
    for char in text:
        code = ord(char)
        is_control = code <= 0x1F or 0x7F <= code <= 0x9F or 0x2028 <= code <= 0x202E or 0x2066 <= code <= 0x2069 or code == 0xFEFF
        if is_control or 0xD800 <= code <= 0xDFFF or char in "\"*/:<>?\\`|":
            raise bad("a bad name")
    if text[0] in " !$()+,-.;_~" or text[-1] == " ":
        raise bad("a bad name")
    return text


def integer_of(spelled, bad):
    if not isinstance(spelled, Number) or re.fullmatch(r"0|[1-9][0-9]{0,15}", spelled) is None or int(spelled) > U64_MAX:
        raise bad("a bad integer")
    return int(spelled)


def epoch_of(spelled, bad):
    epoch = integer_of(spelled, bad)
    if not 2 <= epoch <= 2**32 - 1:
        raise bad("a bad epoch")
    return epoch


def role_of(text, bad):
    if text not in ROLES:
        raise bad("a bad role")
    return text


def sized(length):
    return lambda value, bad: from_base64url(value, length, bad)


ACT_FIELDS = {
    "genesis": [
        ("name", name_of),
        ("owner", sized(32)),
        ("device", name_of),
        ("recovery", sized(32)),
        ("nonce", sized(16)),
        ("time", integer_of),
    ],
    "relay": [("key", sized(32)), ("incarnation", sized(16))],
    "invite": [("key", sized(32)), ("role", role_of), ("expiresAt", integer_of), ("uses", integer_of)],
    "device": [("key", sized(32)), ("name", name_of), ("invite", sized(16)), ("proof", sized(64))],
    "shard": [("nonce", sized(16)), ("kind", name_of), ("name", name_of), ("writer", sized(16))],
    "cut": [
        ("shard", sized(16)),
        ("epoch", epoch_of),
        ("writer", sized(16)),
        ("fence", sized(32)),
        ("seq", integer_of),
        ("head", sized(32)),
        ("destination", sized(16)),
    ],
    "revoke": [("device", sized(16))],
}
MAY_BE_ABSENT = {("cut", "writer"), ("cut", "destination")}


def read_acts(data, where):
    def bad(what):
        return Bad(f"{where}: acts: {what}")

    try:
        text, acts = parse_json(data)
        if to_json(acts, 0) != text:
            raise Void("a second spelling")
    except Void as void:
        raise bad(str(void)) from None
    if not isinstance(acts, list) or not 1 <= len(acts) <= 512:
        raise bad("not 1 to 512 acts")
    read = []
    for act in acts:
        if not isinstance(act, tuple):
            raise bad("not an object")
        pairs = act[0]
        if not pairs or pairs[0][0] != "act" or pairs[0][1] not in ACT_FIELDS:
            raise bad("newer or unknown act")
        written = {name for name, _ in pairs}
        absent = {name for act_name, name in MAY_BE_ABSENT if act_name == pairs[0][1]} - written
        fields = [field for field in ACT_FIELDS[pairs[0][1]] if field[0] not in absent]
        if [name for name, _ in pairs[1:]] != [name for name, _ in fields]:
            raise bad("other fields")
        values = {name: take(value, bad) for (name, value), (_, take) in zip(pairs[1:], fields)}
        read.append({"act": pairs[0][1], **values})
    return read


def read_control_entry(data, where):
    if len(data) > 65_536:
        raise Bad(f"{where}: entry of {len(data)} bytes")
    reader = Reader(data, where)
    reader.preamble(7)
    entry = {"workspace": reader.bytes(32), "prev": reader.bytes(32), "author": reader.bytes(16)}
    acts = reader.bytes(reader.number(4, 2, 65_536))
    entry["signed"] = data[: reader.at]
    entry["signature"] = reader.bytes(64)
    reader.end()
    entry["acts"] = read_acts(acts, where)
    return entry


class Control:
    """The control log of one workspace, folded."""

    def __init__(self, workspace):
        self.workspace, self.name, self.slot, self.head, self.time = workspace, None, 0, ZEROS, 0
        self.devices, self.revoked, self.invites, self.shards = {}, {}, {}, {}
        self.relay, self.relays, self.incarnations = None, {}, set()
        self.kept = []

    def take(self, data, where):
        reader = Reader(data, where)
        reader.preamble(8)
        workspace, slot = reader.bytes(32), reader.number(8, 1)
        entry = read_control_entry(reader.bytes(reader.number(4, 92, 65_536)), where)
        time, relay_key_id = reader.number(8), reader.bytes(16)
        digest = sha256(data[: reader.at])
        signature = reader.bytes(64)
        reader.end()
        if workspace != self.workspace or slot != self.slot + 1:
            raise Bad(f"{where}: holds slot {slot} of workspace {workspace.hex()}")
        if time < self.time:
            raise Bad(f"{where}: time fell")
        before = self.relay
        (self.genesis if slot == 1 else self.apply)(entry, time, where)
        self.kept.append((where, relay_key_id, tag("control-slot") + digest, signature))
        key = before or self.relay
        if key is not None:
            for name, named, message, signed in self.kept:
                if named != key_id(key) or not is_signature(key, message, signed):
                    raise Bad(f"{name}: relay signature")
            self.kept = []
        self.slot, self.time, self.head = slot, time, sha256(data)

    def genesis(self, entry, time, where):
        acts = entry["acts"]
        if len(acts) != 1 or acts[0]["act"] != "genesis":
            raise Bad(f"{where}: no genesis")
        genesis = acts[0]
        if entry["workspace"] != ZEROS or entry["prev"] != ZEROS or entry["author"] != key_id(genesis["owner"]):
            raise Bad(f"{where}: genesis is bound to something else")
        if not is_signature(genesis["owner"], tag("control") + entry["signed"], entry["signature"]):
            raise Bad(f"{where}: author's signature")
        if sha256(tag("workspace") + entry["signed"]) != self.workspace:
            raise Bad(f"{where}: genesis of another workspace")
        self.name = genesis["name"]
        self.devices[entry["author"]] = {"key": genesis["owner"], "name": genesis["device"], "role": "owner"}

    def apply(self, entry, time, where):
        author = entry["author"]
        if entry["workspace"] != self.workspace or entry["prev"] != self.head:
            raise Bad(f"{where}: entry over another head or workspace")
        device, first = self.devices.get(author), entry["acts"][0]
        if device is None and first["act"] == "device" and key_id(first["key"]) == author:
            device = {"key": first["key"], "role": "reader"}
        if device is None:
            raise Bad(f"{where}: unknown author")
        if not is_signature(device["key"], tag("control") + entry["signed"], entry["signature"]):
            raise Bad(f"{where}: author's signature")
        for act in entry["acts"]:

            def may(role):
                if author not in self.devices or not at_least(device["role"], role):
                    raise Bad(f"{where}: {act['act']} is not allowed to its author")

            def need(condition, what):
                if not condition:
                    raise Bad(f"{where}: {act['act']}: {what}")

            if act["act"] == "relay":
                may("owner")
                self.relay = act["key"]
                self.relays[key_id(act["key"])] = act["key"]
                self.incarnations.add(act["incarnation"])
            elif act["act"] == "invite":
                may("admin")
                opened = [i for i in self.invites.values() if i["left"] > 0 and i["expiresAt"] > time]
                need(at_least(device["role"], act["role"]), "role")
                need(act["expiresAt"] <= time + 604_800_000, "expiry")
                need(1 <= act["uses"] <= 10, "uses")
                need(len(opened) < 10, "too many open")
                need(self.is_free(key_id(act["key"])), "key is taken")
                self.invites[key_id(act["key"])] = {**act, "left": act["uses"], "by": author}
            elif act["act"] == "device":
                invite = self.invites.get(act["invite"])
                need(key_id(act["key"]) == author, "not itself")
                need(self.is_free(author), "key is taken")
                need(invite is not None and invite["left"] > 0 and invite["expiresAt"] > time, "no open invite")
                proof = tag("enrol") + self.workspace + act["key"]
                need(is_signature(invite["key"], proof, act["proof"]), "proof")
                invite["left"] -= 1
                self.devices[author] = {"key": act["key"], "name": act["name"], "role": invite["role"]}
            elif act["act"] == "shard":
                may("writer")
                shard = sha256(tag("shard") + self.workspace + act["nonce"])[:16]
                names = {(known["kind"], known["name"]) for known in self.shards.values()}
                writer = self.devices.get(act["writer"])
                need(shard not in self.shards and (act["kind"], act["name"]) not in names, "taken")
                need(writer is not None and at_least(writer["role"], "writer"), "writer")
                need(act["writer"] == author or at_least(device["role"], "admin"), "for another device")
                first = {"epoch": 1, "writer": act["writer"], "cut": (0, ZEROS), "fence": ZEROS}
                self.shards[shard] = {"kind": act["kind"], "name": act["name"], "epochs": [first]}
            elif act["act"] == "cut":
                shard = self.shards.get(act["shard"])
                need(shard is not None, "no such shard")
                newest, head, writer = shard["epochs"][-1], (act["seq"], act["head"]), act.get("writer")
                if author != newest["writer"]:
                    may("admin")
                need(author in self.devices, "not enrolled")
                need(act["epoch"] > newest["epoch"], "epoch fell")
                need((head[0] == 0) == (head[1] == ZEROS), "head")
                need(head == newest["cut"] or head[0] > newest["cut"][0], "below the last cut")
                if writer is not None:
                    need(writer in self.devices and at_least(self.devices[writer]["role"], "writer"), "writer")
                    need(writer == author or writer not in [each["writer"] for each in shard["epochs"]], "a used writer")
                if "destination" in act:
                    destination = self.shards.get(act["destination"])
                    need(destination is not None and destination["kind"] == shard["kind"], "destination")
                shard["epochs"].append({"epoch": act["epoch"], "writer": writer, "cut": head, "fence": act["fence"]})
            elif act["act"] == "revoke":
                may("admin")
                gone = self.devices.get(act["device"])
                need(gone is not None, "not enrolled")
                need(at_least(device["role"], gone["role"]), "role")
                owners = [each for each in self.devices.values() if each["role"] == "owner"]
                need(gone["role"] != "owner" or len(owners) > 1, "the last owner")
                self.revoked[act["device"]] = self.devices.pop(act["device"])
                for invite in self.invites.values():
                    if invite["by"] == act["device"]:
                        invite["left"] = 0
            else:
                need(False, "a second genesis")
        if any(shard["epochs"][-1]["writer"] in self.revoked for shard in self.shards.values()):
            raise Bad(f"{where}: a shard is still written by a revoked device")

    def is_free(self, identity):
        return all(identity not in known for known in (self.devices, self.revoked, self.invites))

    def signatory(self, identity):
        return self.devices.get(identity) or self.revoked.get(identity)

    def speaks_for(self, shard, identity):
        """Who is or was from admin, or writer of an epoch of the shard."""
        device = self.signatory(identity)
        has_written = identity in [each["writer"] for each in shard["epochs"]]
        return device if device is not None and (has_written or at_least(device["role"], "admin")) else None


# --- Runs, segments, fences (docs/format.md#run, #segment, #fence) --------------------------------------------------------------


def inflate(data, length, bad):
    stream = zlib.decompressobj(-15)
    try:
        raw = stream.decompress(data, length + 1)
    except zlib.error as cause:
        raise bad(f"deflate: {cause}") from None
    if len(raw) != length or not stream.eof or stream.unused_data or stream.unconsumed_tail:
        raise bad("does not inflate to its length")
    return raw


def read_run(reader):
    """The head of a run and its groups; hashes rebuilt, seal not yet checked."""
    run = {"epoch": reader.number(4, 1), "first": reader.number(8, 1), "prev": reader.bytes(32)}
    count, packing = reader.number(4, 1, 100_000), reader.number(1, 0, 1)
    reader.zeros(3)
    length, stored = reader.number(4, 1, 8_388_608), reader.number(4, 1, 8_388_608)
    if (packing == 0 and stored != length) or length > 1100 * stored:
        raise reader.bad("lengths of the records")
    records = reader.bytes(stored)
    run["records"] = inflate(records, length, reader.bad) if packing == 1 else records
    run["count"] = count
    run["seal"] = {"key": reader.bytes(16), "fields": reader.bytes(64), "signature": reader.bytes(64)}
    return run


def read_groups(run, shard, where):
    reader = Reader(run["records"], f"{where}: records")
    seq, prev, groups = run["first"] - 1, run["prev"], []
    for _ in range(run["count"]):
        kind, codec = reader.number(1, 1, 2), reader.number(1, 1, 1)
        op_count = reader.number(4, 1, 10_000)
        time, group_id = reader.number(8), reader.bytes(16)
        body_length = reader.number(4, 2, 4_194_304)
        body = None
        if kind == 1:
            salt = reader.bytes(16)
            body = reader.bytes(body_length)
            body_hash = sha256(tag("body") + salt + body)
        else:
            body_hash = reader.bytes(32)
        if seq + op_count > U64_MAX:
            raise reader.bad("seq beyond 2^53-1")
        header = b"FOLD\x01\x01\x01\x00" + shard + struct.pack(">IQIQ", run["epoch"], seq + 1, op_count, time)
        header += group_id + prev + body_hash + struct.pack(">IB3x", body_length, codec)
        seq, prev = seq + op_count, sha256(tag("group") + header)
        groups.append({"seq": seq, "hash": prev, "ops": op_count, "body": body})
    reader.end()
    return groups


class Shard:
    """One shard's log as far as it is verified."""

    def __init__(self, control, shard, entry):
        self.control, self.shard, self.entry = control, shard, entry
        self.head, self.object, self.bytes, self.time, self.epoch = (0, ZEROS), ZEROS, 0, 0, 1
        self.writer = entry["epochs"][0]["writer"]
        self.slots, self.groups, self.ops, self.void, self.erased = [], 0, 0, 0, 0

    def take(self, data, where):
        reader = Reader(data, where)
        kind = reader.preamble(3, 4)
        shard, slot, prev = reader.bytes(16), reader.number(8, 1), reader.bytes(32)
        if shard != self.shard or slot != len(self.slots) + 1:
            raise Bad(f"{where}: holds slot {slot} of shard {shard.hex()}")
        if prev != self.object:
            raise Bad(f"{where}: link to the object before")
        content = read_run(reader) if kind == 3 else self.read_fence(reader)
        time, before, relay_key_id = reader.number(8), reader.number(8), reader.bytes(16)
        digest = sha256(data[: reader.at])
        signature = reader.bytes(64)
        reader.end()
        if time < self.time:
            raise Bad(f"{where}: time fell")
        if before != self.bytes:
            raise Bad(f"{where}: bytes before")
        relay = self.control.relays.get(relay_key_id)
        if relay is None or not is_signature(relay, tag("commit") + digest, signature):
            raise Bad(f"{where}: relay signature")
        groups = self.take_run(content, where) if kind == 3 else self.take_fence(content, sha256(data), where)
        self.object, self.bytes, self.time = sha256(data), self.bytes + len(data), time
        self.slots.append({"object": self.object, "time": time, "epoch": content["epoch"], "groups": groups})

    def take_run(self, run, where):
        if run["epoch"] != self.epoch or self.writer is None:
            raise Bad(f"{where}: a run of epoch {run['epoch']}, reached is {self.epoch}")
        if (run["first"] - 1, run["prev"]) != self.head:
            raise Bad(f"{where}: link to the group before")
        groups = read_groups(run, self.shard, where)
        last, seal = groups[-1], run["seal"]
        writer = self.control.signatory(self.writer)
        message = b"FOLD\x02\x01\x01\x00" + seal["key"] + seal["fields"] + self.shard
        message += struct.pack(">IQ", run["epoch"], last["seq"]) + last["hash"]
        if seal["key"] != self.writer or not is_signature(writer["key"], tag("seal") + message, seal["signature"]):
            raise Bad(f"{where}: seal")
        self.head = (last["seq"], last["hash"])
        for group in groups:
            self.groups += 1
            self.ops += group["ops"]
            if group["body"] is None:
                self.erased += 1
                continue
            try:
                read_ops(group["body"], group["ops"])
            except Void:
                self.void += 1
        return groups

    def read_fence(self, reader):
        fence = {"epoch": reader.number(4, 1), "new": reader.number(4, 1)}
        fence["head"] = (reader.number(8), reader.bytes(32))
        reader.bytes(32)
        fence["author"] = reader.bytes(16)
        fence["signed"] = reader.data[: reader.at]
        fence["signature"] = reader.bytes(64)
        if fence["new"] != fence["epoch"] + 1:
            raise reader.bad("epochs of the fence")
        return fence

    def take_fence(self, fence, fence_hash, where):
        if fence["epoch"] != self.epoch or fence["head"] != self.head:
            raise Bad(f"{where}: the fence closes another epoch or head")
        author = self.control.speaks_for(self.entry, fence["author"])
        if author is None:
            raise Bad(f"{where}: the fence's author may not")
        if not is_signature(author["key"], tag("fence") + fence["signed"], fence["signature"]):
            raise Bad(f"{where}: author's signature")
        self.epoch, self.writer = fence["new"], None
        for cut in self.entry["epochs"]:
            if cut["epoch"] == self.epoch:
                if (cut["fence"], cut["cut"]) != (fence_hash, fence["head"]):
                    raise Bad(f"{where}: its cut names another fence or head")
                self.writer = cut["writer"]
        return []


# --- Checkpoints (docs/format.md#checkpoint, #state-hash) ------------------------------------------------------------------------


def verify_checkpoint(shard, data, number, prev, floor, chunk_path, where):
    reader = Reader(data, where)
    reader.preamble(9)
    found, named, previous = reader.bytes(16), reader.number(8, 1), reader.bytes(32)
    if found != shard.shard or named != number or previous != prev:
        raise Bad(f"{where}: shard, number or link")
    epoch, head = reader.number(4, 1), (reader.number(8, 1), reader.bytes(32))
    slot, slot_object, slot_time = reader.number(8, 1), reader.bytes(32), reader.number(8)
    reader.number(4, 1)
    reader.bytes(32)
    state_hash = reader.bytes(32)
    reader.number(8)
    reader.bytes(32)
    author = reader.bytes(16)
    chunks = []
    for _ in range(reader.number(4, 1, 65_536)):
        chunks.append((reader.bytes(32), reader.number(4, 1, 2_097_152), reader.number(4, 1, 1_048_576)))
    digest = sha256(data[: reader.at])
    signature = reader.bytes(64)
    reader.end()
    if head[0] < floor:
        raise Bad(f"{where}: below the statement before")
    stands = shard.slots[slot - 1] if slot <= len(shard.slots) else None
    if stands is None or (stands["object"], stands["time"], stands["epoch"]) != (slot_object, slot_time, epoch):
        raise Bad(f"{where}: its slot is not in the log")
    if head not in [(group["seq"], group["hash"]) for group in stands["groups"]]:
        raise Bad(f"{where}: its head is not in its slot")
    device = shard.control.speaks_for(shard.entry, author)
    if device is None:
        raise Bad(f"{where}: its author may not")
    if not is_signature(device["key"], tag("checkpoint") + digest, signature):
        raise Bad(f"{where}: author's signature")
    image = b""
    for name, stored, raw in chunks:
        path = chunk_path(name)
        if not os.path.exists(path):
            raise Bad(f"{where}: no chunk {name.hex()}")
        with open(path, "rb") as file:
            chunk = file.read()
        if len(chunk) != stored or sha256(chunk) != name:
            raise Bad(f"{where}: chunk {name.hex()}: length or hash")
        image += inflate(chunk, raw, lambda what, name=name: Bad(f"{where}: chunk {name.hex()}: {what}"))
    if not image.startswith(b"SQLite format 3\0"):
        raise Bad(f"{where}: no database image")
    return head, sha256(data), verify_state(image, state_hash, where)


def verify_state(image, expected, where):
    """What can be said about the image: its state hash is right, or there is no SQLite here to tell."""
    try:
        import sqlite3

        db = sqlite3.connect(":memory:")
        db.deserialize(image)
    except (ImportError, AttributeError):
        return "not checked (no SQLite here)"
    try:
        db.execute("PRAGMA trusted_schema=OFF")
        strange = db.execute("SELECT count(*) FROM sqlite_schema WHERE type NOT IN ('table', 'index')").fetchone()
        if strange != (0,) or db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise Bad(f"{where}: image")
        state = hashlib.sha256(tag("state"))
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall():
            hash_table(db, state, name)
    except sqlite3.Error as cause:
        raise Bad(f"{where}: image: {cause}") from None
    if state.digest() != expected:
        raise Bad(f"{where}: state hash")
    return "matches"


def hash_table(db, state, name):
    def text(value):
        data = value.encode()
        state.update(b"X" + struct.pack(">I", len(data)) + data)

    def quoted(names):
        return ", ".join('"' + each.replace('"', '""') + '"' for each in names)

    columns = db.execute(f"PRAGMA table_info({quoted([name])})").fetchall()
    key = [column[1] for column in sorted((c for c in columns if c[5] > 0), key=lambda c: c[5])]
    names = [column[1] for column in columns]
    state.update(b"T" + struct.pack(">I", 0))
    for each in [name, *names]:
        text(each)
    for row in db.execute(f"SELECT {quoted(names)} FROM {quoted([name])} ORDER BY {quoted(key)}"):
        state.update(b"R" + struct.pack(">I", len(row)))
        for value, column in zip(row, columns):
            if value is None:
                state.update(b"N" + struct.pack(">I", 0))
            elif isinstance(value, str):
                text(value)
            elif isinstance(value, bytes):
                state.update(b"B" + struct.pack(">I", len(value)) + value)
            elif column[2].upper() == "REAL":
                state.update(b"F" + struct.pack(">d", float(value) if value != 0 else 0.0))
            else:
                state.update(b"I" + struct.pack(">q", value))


# --- The folder (docs/format.md#keys, #verifying-a-relay-folder) ------------------------------------------------------------------


def numbered(folder, label):
    """Paths 1, 2, 3 … of a directory; a gap is a failure."""
    if not os.path.isdir(folder):
        return []
    names = sorted(name for name in os.listdir(folder) if re.fullmatch(r"[0-9]{16}", name))
    for i, name in enumerate(names):
        if int(name) != i + 1:
            raise Bad(f"{label}/{i + 1:016d}: missing")
    return [(os.path.join(folder, name), f"{label}/{name}") for name in names]


def ids(folder, length):
    if not os.path.isdir(folder):
        return []
    return sorted(name for name in os.listdir(folder) if re.fullmatch(r"[0-9a-f]{%d}" % (2 * length), name))


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def verify_folder(root):
    for workspace in ids(os.path.join(root, "w"), 32):
        base, label = os.path.join(root, "w", workspace), f"w/{workspace}"
        control = Control(bytes.fromhex(workspace))
        for path, where in numbered(os.path.join(base, "control"), f"{label}/control"):
            control.take(read_file(path), where)
        if control.kept or control.slot == 0:
            raise Bad(f"{label}/control/{max(1, control.slot):016d}: no relay was declared, the log is unproven")
        print(f"workspace {workspace} {json.dumps(control.name)}: control slots {control.slot}, head {control.head.hex()}, "
              f"devices {len(control.devices)}, shards {len(control.shards)}")
        for incarnation in ids(base, 16):
            if bytes.fromhex(incarnation) not in control.incarnations:
                raise Bad(f"{label}/{incarnation}: an incarnation nobody declared")
            for shard in ids(os.path.join(base, incarnation, "s"), 16):
                verify_shard(control, os.path.join(base, incarnation, "s", shard), f"{label}/{incarnation}/s/{shard}")


def verify_shard(control, folder, label):
    identity = bytes.fromhex(label.rsplit("/", 1)[1])
    entry = control.shards.get(identity)
    if entry is None:
        raise Bad(f"{label}: a shard nobody declared")
    shard = Shard(control, identity, entry)
    for path, where in numbered(os.path.join(folder, "log"), f"{label}/log"):
        shard.take(read_file(path), where)
    title = f"{entry['kind']}/{entry['name']}"
    print(f"shard {identity.hex()} {title}: slots {len(shard.slots)}, groups {shard.groups}, ops {shard.ops}, "
          f"void {shard.void}, erased {shard.erased}, epoch {shard.epoch}, bytes {shard.bytes}, "
          f"head {shard.head[0]} {shard.head[1].hex()}")
    prev, floor = ZEROS, 0
    for number, (path, where) in enumerate(numbered(os.path.join(folder, "checkpoint"), f"{label}/checkpoint"), 1):
        head, prev, state = verify_checkpoint(
            shard, read_file(path), number, prev, floor, lambda name: os.path.join(folder, "chunk", name.hex()), where
        )
        floor = head[0]
        print(f"checkpoint {number} of {title}: head {head[0]} {head[1].hex()}, state hash {state}")
    chunks = ids(os.path.join(folder, "chunk"), 32)
    for name in chunks:
        if sha256(read_file(os.path.join(folder, "chunk", name))).hex() != name:
            raise Bad(f"{label}/chunk/{name}: hash")


# --- Vectors ------------------------------------------------------------------------------------------------------------------


def check_signatures(path):
    vectors = json.loads(read_file(path))
    for vector in vectors:
        found = is_signature(*(bytes.fromhex(vector[part]) for part in ("key", "message", "signature")))
        if found != vector["valid"]:
            raise Bad(f"{vector['name']}: found {found}")
    print(f"{len(vectors)} signatures agree")


def check_bodies(path):
    vectors = json.loads(read_file(path))
    for vector in vectors:
        try:
            read_ops(bytes.fromhex(vector["hex"]), vector["opCount"])
            found = True
        except Void:
            found = False
        if found != vector["valid"]:
            raise Bad(f"{vector['name']}: found {found}")
    print(f"{len(vectors)} bodies agree")


def main(arguments):
    try:
        if arguments[:1] == ["--signatures"]:
            check_signatures(arguments[1])
        elif arguments[:1] == ["--bodies"]:
            check_bodies(arguments[1])
        else:
            return max(verify_folders(arguments))
    except Bad as bad:
        print(f"FAILED {bad}")
        return 1
    return 0


def verify_folders(folders):
    for folder in folders:
        if len(folders) > 1:
            print(f"folder {folder}")
        try:
            verify_folder(folder)
            print("verified")
            yield 0
        except Bad as bad:
            print(f"FAILED {bad}")
            yield 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
