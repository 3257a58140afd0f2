# SPDX-License-Identifier: MIT
"""bpfrun: what it is asked and what it answers, whatever comes in."""
import json
import os
import struct
import subprocess

from tap import BUILD_DIR, case, equal, run

BPFRUN = os.path.join(BUILD_DIR, "jitcore/bpfrun")


def insn(opcode, destination=0, source=0, offset=0, immediate=0):
    return struct.pack("<BBhi", opcode, destination | source << 4, offset, immediate).hex()


def mov(register, immediate):
    return insn(0xb7, register, immediate=immediate)


EXIT = insn(0x95)
SEVEN = mov(0, 7) + EXIT
NULL_READ = mov(1, 0) + insn(0x79, 0, 1) + EXIT
ENDLESS = insn(0x05, offset=-1) + EXIT


def raw_lines(*texts):
    """Answers to lines of bytes as they are."""
    result = subprocess.run([BPFRUN], input=b"\n".join(texts), capture_output=True, timeout=120)
    equal((result.returncode, result.stderr), (0, b""), "end")
    return [json.loads(line) for line in result.stdout.decode().splitlines()]


def lines(*texts):
    return raw_lines(*(text.encode() for text in texts))


def ask(insns, **request):
    answer, = lines(json.dumps({"id": "x", "insns": insns, **request}))
    equal(answer["id"], "x")
    return answer


def refused(answer, rule, text=""):
    equal((answer["verdict"], answer["error"]["rule"]), ("reject", rule), "refusal")
    assert text in answer["error"]["text"], answer
    assert "jit" not in answer and "interpret" not in answer, answer


@case
def modes_choose_what_is_done():
    wanted = {"verify": set(), "jit": {"jit"}, "interpret": {"interpret"}, "all": {"jit", "interpret"}}
    for raw in (True, False):
        for mode, keys in wanted.items():
            answer = ask(SEVEN, mode=mode, raw=raw)
            equal(set(answer), {"id", "verdict"} | keys, mode)
            equal(answer["verdict"], "accept")
            for key in keys:
                equal(answer[key], {"r0": "0x7"}, key)
    equal(set(ask(SEVEN)), {"id", "verdict", "jit", "interpret"}, "default mode")


@case
def every_line_gets_one_answer_in_order():
    requests = [json.dumps({"id": str(i), "insns": mov(0, i) + EXIT, "mode": "jit"}) for i in range(5)]
    answers = lines(requests[0], "", requests[1], "{", requests[2], "   ", *requests[3:])
    equal([answer["id"] for answer in answers], ["0", "1", None, "2", "3", "4"], "ids")
    equal(answers[5]["jit"], {"r0": "0x4"})


@case
def lines_that_are_no_text_get_their_answers():
    request = json.dumps({"id": "z", "insns": SEVEN, "mode": "jit"}).encode()
    texts = [b"\0", b"\0" + request, b" \0 ", request + b"\0", b'{"id": "\0"}']
    answers = raw_lines(*texts, request)
    equal(len(answers), len(texts) + 1, "answers")
    for answer in answers[:-1]:
        equal(answer["id"], None)
        refused(answer, "request", "a NUL in it")
    equal((answers[-1]["id"], answers[-1]["jit"]), ("z", {"r0": "0x7"}), "the next request")
    for bad in (b"\x80", b"\xc3", b"\xc3(", b"\xc0\x80", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xf0\x8f\xbf\xbf",
                b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xff"):
        refused(raw_lines(request.replace(b"z", bad))[0], "request", "not UTF-8")
    good = "\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"
    equal(raw_lines(request.replace(b"z", good.encode()))[0]["id"], good, "id")


@case
def malformed_requests_are_refused_with_their_id():
    array = {"type": "array", "key_size": 4, "value_size": 8, "max_entries": 1, "insn": 0}
    map_load = insn(0x18, 1, 1) + insn(0) + SEVEN
    for text, fragment in [
        ("not JSON", "no JSON"), ("[]", "no JSON object"), ('{"id": "y"} x', "no JSON"), ("[" * 100, "no JSON"),
    ]:
        refused(lines(text)[0], "request", fragment)
    for request, fragment in [
        ({}, "insns is missing"), ({"insns": 5}, "insns is no string"), ({"insns": ""}, "0 bytes"),
        ({"insns": "95"}, "1 bytes"), ({"insns": "9"}, "even number"), ({"insns": "zz" * 8}, "hexadecimal"),
        ({"insns": SEVEN, "mem": "0g"}, "hexadecimal"), ({"insns": SEVEN, "mode": "fast"}, "mode \"fast\""),
        ({"insns": SEVEN, "raw": 1}, "raw"), ({"insns": SEVEN, "ctx_size": -1}, "ctx_size"),
        ({"insns": SEVEN, "ctx_size": 1 << 20}, "context of"), ({"insns": SEVEN, "ctx_size": "8"}, "ctx_size"),
        ({"insns": SEVEN, "maps": {}}, "maps is no array"), ({"insns": SEVEN, "maps": [1]}, "no object"),
        ({"insns": SEVEN, "maps": [array]}, "instruction 0 is no lddw"),
        ({"insns": map_load}, "none for the lddw at instruction 0"),
        ({"insns": map_load, "maps": [array] * 2}, "instruction 0"),
        ({"insns": map_load, "maps": [{**array, "insn": 99}]}, "instruction 99"),
        ({"insns": map_load, "maps": [{**array, "insn": None}]}, "insn is no number"),
        *[({"insns": map_load, "maps": [{**array, "insn": insn}]}, "insn is no number")
          for insn in (["junk"], ["0"], [None], [0.9], [False], [[0]], [-1], [1 << 32])],
        ({"insns": map_load, "maps": [{**array, "type": "tree"}]}, "map type \"tree\""),
        ({"insns": map_load, "maps": [{**array, "flags": ["secret"]}]}, "flag \"secret\""),
        ({"insns": map_load, "maps": [{**array, "max_entries": 1 << 31}]}, "more than 1048576 bytes"),
        ({"insns": map_load, "maps": [{**array, "flags": [5]}]}, "a flag of a map is no string"),
        ({"insns": SEVEN, "maps": [array] * 1000}, "more than 64"),
        ({"insns": SEVEN, "mode": "jit\0x"}, "mode holds a NUL"), ({"insns": SEVEN + "\0"}, "insns holds a NUL"),
        ({"insns": SEVEN, "mem": "01\0ff"}, "mem holds a NUL"),
        ({"insns": map_load, "maps": [{**array, "type": "array\0"}]}, "type holds a NUL"),
        ({"insns": map_load, "maps": [{**array, "flags": ["rdonly_prog\0x"]}]}, "a flag of a map holds a NUL"),
    ]:
        answer, = lines(json.dumps({"id": "y", **request}))
        equal(answer["id"], "y", str(request))
        refused(answer, "request", fragment)


@case
def a_crash_is_a_result():
    answer = ask(NULL_READ, raw=True)
    equal(answer["verdict"], "accept")
    equal(answer["jit"], {"signal": 11, "text": "Segmentation fault"})
    equal(answer["interpret"]["error"]["rule"], "bounds")
    equal(answer["interpret"]["error"]["insn"], 1)
    after = lines(json.dumps({"id": 1, "insns": NULL_READ, "raw": True}), json.dumps({"id": 2, "insns": SEVEN}))[1]
    equal(after["jit"], {"r0": "0x7"}, "the next request")


@case
def a_program_without_end_is_stopped():
    answer = ask(ENDLESS, raw=True, mode="jit")
    equal(answer["jit"], {"signal": 27, "text": "Profiling timer expired"})


@case
def the_context_may_be_read_and_written_within_its_size():
    program = insn(0x79, 0, 1) + insn(0x07, 0, immediate=1) + insn(0x7b, 1, 0, 8) + insn(0x79, 0, 1, 8) + EXIT
    answer = ask(program, mem="2a", ctx_size=16)
    equal((answer["verdict"], answer["jit"], answer["interpret"]), ("accept", {"r0": "0x2b"}, {"r0": "0x2b"}))
    answer = ask(program, mem="2a", ctx_size=15)
    equal(answer["verdict"], "reject")
    equal(answer["error"]["insn"], 2)


@case
def raw_programs_get_memory_and_its_length():
    answer = ask(insn(0x71, 0, 1, 2) + insn(0x0f, 0, 2) + EXIT, mem="01 02\t03", raw=True)
    equal((answer["jit"], answer["interpret"]), ({"r0": "0x6"}, {"r0": "0x6"}))
    answer = ask(insn(0xbf, 0, 1) + insn(0x0f, 0, 2) + EXIT, raw=True)
    equal((answer["jit"], answer["interpret"]), ({"r0": "0x0"}, {"r0": "0x0"}))


@case
def rejected_programs_are_not_run():
    answer = ask(NULL_READ)
    equal(answer["verdict"], "reject")
    equal(answer["error"]["insn"], 1)
    assert "jit" not in answer and "interpret" not in answer, answer
    refused(ask(insn(0x8d, 1) + EXIT), "unsupported", "callx")


LOOKUP = (insn(0x62, 10, offset=-4, immediate=1) + insn(0xbf, 2, 10) + insn(0x07, 2, immediate=-4) +
          insn(0x18, 1, 1) + insn(0) + insn(0x85, immediate=1) + insn(0x15, 0, offset=3) +
          insn(0x7a, 0, offset=8, immediate=5) + insn(0x79, 0, 0, 8) + EXIT + mov(0, 1) + EXIT)
ARRAY = {"type": "array", "key_size": 4, "value_size": 16, "max_entries": 2, "insn": 3}


@case
def arrays_can_be_looked_up():
    answer = ask(LOOKUP, maps=[ARRAY])
    equal((answer["verdict"], answer["jit"], answer["interpret"]), ("accept", {"r0": "0x5"}, {"r0": "0x5"}))
    answer = ask(LOOKUP, maps=[{**ARRAY, "max_entries": 1}])
    equal((answer["verdict"], answer["jit"], answer["interpret"]), ("accept", {"r0": "0x1"}, {"r0": "0x1"}))
    equal(ask(LOOKUP, maps=[{**ARRAY, "value_size": 15}])["verdict"], "reject")
    equal(ask(LOOKUP, maps=[{**ARRAY, "flags": ["rdonly_prog"]}])["verdict"], "reject")


@case
def instructions_of_errors_are_counted_from_the_program_s_first():
    program = insn(0x85, source=1, immediate=1) + EXIT + mov(0, 0) + insn(0x79, 0, 0) + EXIT
    equal(ask(program)["error"]["insn"], 3)
    equal(ask(program, raw=True)["interpret"]["error"]["insn"], 3)


def plugin(program, *arguments):
    return subprocess.run([BPFRUN, "--plugin", *arguments], input=program, capture_output=True, text=True, timeout=60)


@case
def the_plugin_convention():
    result = plugin(SEVEN)
    equal((result.returncode, result.stdout, result.stderr), (0, "7\n", ""))
    result = plugin(insn(0x71, 0, 1, 1) + EXIT + "\n", "aabb")
    equal((result.returncode, result.stdout), (0, "bb\n"))
    for program, complaint in [("", "no program"), ("xx", "hexadecimal"), (NULL_READ, "signal 11"),
                               (insn(0xff) + EXIT, "opcode 0xff"), (SEVEN + "\0zz", "a NUL in the program")]:
        result = plugin(program)
        equal((result.returncode, result.stdout), (1, ""), program)
        assert complaint in result.stderr, result.stderr


@case
def the_runner_gives_the_memory_before_the_options_and_empty_arguments():
    """As its versions do; options may be one empty argument, and so may the memory."""
    program = insn(0xbf, 0, 2) + EXIT           # the memory's length
    for arguments, length in [
        (["aa  bb  ", "--plugin"], "2"), (["", "--plugin"], "0"), (["--plugin", "aa  bb  ", ""], "2"),
        (["--plugin", "", ""], "0"), (["aa bb ", "--plugin", "--interpret"], "2"), (["--plugin", "--interpret"], "0"),
    ]:
        result = subprocess.run([BPFRUN, *arguments], input=program, capture_output=True, text=True, timeout=60)
        equal((result.returncode, result.stdout, result.stderr), (0, length + "\n", ""), str(arguments))


@case
def command_lines_that_are_wrong_are_refused():
    for arguments, complaint in [
        (["--plugin", "0102030405060708", "ff"], "MEMORY already, before 'ff'"), (["ff"], "without --plugin"),
        (["ff", "--interpret"], "without --plugin"), (["--interpret"], "without --plugin"), ([""], "without --plugin"),
        (["--plugin", "--quick"], "no option '--quick'"), (["--plugin", "-"], "no option '-'"),
    ]:
        result = subprocess.run([BPFRUN, *arguments], input=SEVEN, capture_output=True, text=True, timeout=60)
        equal((result.returncode, result.stdout), (2, ""), str(arguments))
        assert complaint in result.stderr and "Usage: bpfrun" in result.stderr, result.stderr


@case
def what_cannot_be_written_or_read_is_reported():
    request = json.dumps({"insns": SEVEN, "mode": "jit"}) + "\n"
    for arguments, text in [([], request * 3), (["--plugin"], SEVEN), (["--help"], "")]:
        with open("/dev/full", "w") as full:
            result = subprocess.run([BPFRUN, *arguments], input=text, stdout=full, stderr=subprocess.PIPE, text=True,
                                    timeout=60)
        equal((result.returncode, result.stderr),
              (1, "bpfrun: cannot write to standard output: No space left on device\n"), str(arguments))
    folder = os.open("/", os.O_RDONLY)
    result = subprocess.run([BPFRUN], stdin=folder, capture_output=True, text=True, timeout=60)
    os.close(folder)
    equal((result.returncode, result.stdout, result.stderr),
          (1, "", "bpfrun: cannot read standard input: Is a directory\n"))


@case
def usage():
    result = subprocess.run([BPFRUN, "--help"], capture_output=True, text=True, timeout=20)
    equal((result.returncode, result.stderr), (0, ""))
    assert result.stdout.startswith("Usage: bpfrun"), result.stdout
    equal(subprocess.run([BPFRUN, "--quick"], capture_output=True, timeout=20).returncode, 2)


run()
