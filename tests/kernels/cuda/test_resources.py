"""What the machine code of CUDA kernels uses: none of ours spills, and a kernel that does is found."""

import json
import struct
from pathlib import Path

import pytest
from minitorch_cv.kernels import loader
from minitorch_cv.kernels.cuda import resources
from minitorch_cv.kernels.signatures import read_signatures

from minitorch_cv import cli

MISUSES = Path(__file__).parents[1] / "spills.cu"
pytestmark = pytest.mark.nvrtc
needs_disassembler = pytest.mark.skipif(
    resources.disassembler() is None, reason="nvdisasm is not there: pip install nvidia-cuda-nvdisasm"
)


@pytest.fixture(scope="module")
def told():
    return resources.report()


@pytest.fixture(scope="module")
def misuses():
    return {kernel.kernel: kernel for kernel in resources.report([MISUSES], ["sm_80"]).kernels}


def test_no_kernel_of_ours_spills_or_uses_local_memory(told):
    assert told.problems() == []


def test_every_kernel_is_in_the_report(told):
    """On each architecture, but where a source says that it needs a later one."""
    for path in resources.HERE.glob("*.cu"):
        expected = set(read_signatures(path.read_text(encoding="utf-8")))
        for architecture in {kernel.architecture for kernel in told.kernels}:
            found = {k.kernel for k in told.kernels if (k.source, k.architecture) == (path.name, architecture)}
            early = int(architecture[3:].rstrip("a")) < loader.least_architecture(path)
            assert found == (set() if early else expected), (path.name, architecture)
    assert {"sm_75", "sm_80", "sm_86", "sm_90a", "sm_100"} <= {k.architecture for k in told.kernels}


def test_kernels_fit_the_register_file(told):
    """A thread of a block of 256 can have no more than 255, and four such blocks no more than 64: 128 leave two."""
    assert [k for k in told.kernels if k.registers > 128] == []


def test_the_log_says_what_the_machine_code_says(misuses):
    """The ELF header of a kernel's code holds its registers, independently of the compiler's words."""
    held = registers_in_elf(loader.compiled(MISUSES, "sm_80").cubin)
    assert held == {name: kernel.registers for name, kernel in misuses.items()}


def registers_in_elf(cubin):
    """The upper byte of sh_info of each section .text.NAME."""
    (start,) = struct.unpack_from("<Q", cubin, 40)
    size, count, names = struct.unpack_from("<3H", cubin, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", cubin, start + i * size) for i in range(count)]
    text = sections[names][4]
    found = {}
    for section in sections:
        name = cubin[text + section[0] : cubin.index(b"\0", text + section[0])].decode()
        if name.startswith(".text."):
            found[name.removeprefix(".text.")] = section[7] >> 24
    return found


def test_a_kernel_that_spills_is_found(misuses):
    assert misuses["spills"].spilled_bytes > 0
    assert "spills.cu: spills on sm_80 spills " in misuses["spills"].problems()[0]


def test_local_memory_is_found(misuses):
    assert misuses["indexes"].local_bytes == 256 and misuses["indexes"].spilled_bytes == 0
    assert len(misuses["indexes"].problems()) == 1 and "local memory (256 bytes)" in misuses["indexes"].problems()[0]


def test_shared_memory_is_counted(misuses):
    assert misuses["copies"].shared_bytes == 1024 and misuses["copies"].problems() == []


@needs_disassembler
def test_instructions_are_counted(misuses):
    assert misuses["copies"].instructions["loads of 16 bytes"] == 1
    assert misuses["copies"].instructions["local memory"] == 0
    assert misuses["indexes"].instructions["local memory"] > 0
    assert misuses["spills"].instructions["local memory"] > 0


@needs_disassembler
def test_tensor_cores_compute_what_is_meant_for_them(told):
    for kernel in told.kernels:
        on_tensor_cores = kernel.instructions["tensor-core products"] > 0
        assert on_tensor_cores == kernel.kernel.endswith(("_tf32", "_bf16")), kernel


def test_a_log_that_tells_nothing_is_refused():
    with pytest.raises(RuntimeError, match=r"a.cu: the compiler's log tells of no kernel"):
        resources.read_log(loader.Compiled(Path("a.cu"), "sm_80", b"", ""))


# ---- the command


def test_the_command_fails_for_a_spill(capsys):
    assert cli.main(["kernel", "report", str(MISUSES), "--architecture", "sm_80"]) == 1
    assert "spills.cu: spills on sm_80 spills" in capsys.readouterr().out


def test_the_command_tells_json(capsys):
    assert cli.main(["kernel", "report", str(resources.HERE / "residual.cu"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["problems"] == [] and {k["kernel"] for k in told["kernels"]} == {
        "add_relu_forward",
        "add_relu_backward",
    }


def test_the_command_says_what_is_wrong(capsys, tmp_path):
    assert cli.main(["kernel", "report", str(tmp_path / "none.cu")]) == 2
    assert "FILE expects a .cu file; there is none at" in capsys.readouterr().err
    broken = tmp_path / "broken.cu"
    broken.write_text('extern "C" __global__ void broken(float* x) { x = ; }\n', encoding="utf-8")
    assert cli.main(["kernel", "report", str(broken), "--architecture", "sm_80"]) == 1
    assert "broken.cu(1): error: expected an expression" in capsys.readouterr().err
    assert cli.main(["kernel", "report", str(MISUSES), "--architecture", "sm_1"]) == 2
    assert "it is 'sm_1'" in capsys.readouterr().err
