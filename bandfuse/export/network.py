"""Network: the fusion as a graph that other runtimes compute: ONNX, and PyTorch's exported
programs."""

from __future__ import annotations

import importlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from bandfuse.errors import ConfigError
from bandfuse.model.fusion import Fusion

if TYPE_CHECKING:
    import torch

_NODES = {
    "relu": "Relu",
    "leaky_relu": "LeakyRelu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softplus": "Softplus",
}
"""ONNX operators of the activations."""

OPSET = 17


def onnx(fusion: Fusion) -> bytes:
    """An ONNX model (opset 17): ``x`` (N, B) float32 to ``y`` (N, K) float32. NaN in any band with
    weight gives NaN.

    Raises
    ------
    ConfigError : the onnx package is not installed.
    """
    try:
        library: Any = importlib.import_module("onnx")
    except ImportError as error:
        raise ConfigError("onnx is not installed", remedy="Install bandfuse[onnx].") from error
    helper, kind = library.helper, library.TensorProto.FLOAT
    support = np.array(fusion.support, dtype=np.int64)
    constants = {
        "bands": support,
        "weights": fusion.matrix[:, support].T.astype(np.float32),
        "offset": fusion.offset.astype(np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["x", "bands"], ["used"], axis=1),
        helper.make_node("MatMul", ["used", "weights"], ["sum"]),
        helper.make_node(
            "Add", ["sum", "offset"], ["y" if fusion.activation == "identity" else "linear"]
        ),
    ]
    if fusion.activation != "identity":
        more = {"alpha": 0.01} if fusion.activation == "leaky_relu" else {}
        nodes.append(helper.make_node(_NODES[fusion.activation], ["linear"], ["y"], **more))
    graph = helper.make_graph(
        nodes,
        "bandfuse",
        [helper.make_tensor_value_info("x", kind, ["N", len(fusion.inputs)])],
        [helper.make_tensor_value_info("y", kind, ["N", len(fusion.outputs)])],
        [library.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="bandfuse"
    )
    model.ir_version = 9
    library.checker.check_model(model, full_check=True)
    result: bytes = model.SerializeToString()
    return result


def module(fusion: Fusion) -> torch.nn.Module:
    """A torch module of (N, B) float64 to (N, K) float64."""
    import torch

    class Fused(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bands = torch.nn.Buffer(torch.tensor(fusion.support))
            self.weights = torch.nn.Buffer(torch.tensor(fusion.matrix[:, fusion.support].T))
            self.offset = torch.nn.Buffer(torch.tensor(fusion.offset))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x[:, self.bands] @ self.weights + self.offset
            if fusion.activation == "identity":
                return y
            result: torch.Tensor = getattr(torch.nn.functional, fusion.activation)(y)
            return result

    return Fused().double()


def pt2(fusion: Fusion) -> bytes:
    """A ``.pt2`` file of torch.export: ``torch.export.load(file).module()(x)``, x (N, B) float64, N
    at least 1."""
    import torch

    made = module(fusion)
    example = torch.zeros((3, len(fusion.inputs)), dtype=torch.float64)
    program = torch.export.export(
        made, (example,), dynamic_shapes={"x": {0: torch.export.Dim("N", min=1)}}
    )
    out = io.BytesIO()
    torch.export.save(program, out)
    return out.getvalue()
