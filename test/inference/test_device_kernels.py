"""Kinds of kernels by their names, as an H200 ran them, and the table of one match."""

from __future__ import annotations

import pytest

from benchmark import device_kernels
from benchmark.device_kernels import Kernel, kind_of, table


@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        (
            'sm90_xmma_fprop_implicit_gemm_f16f16_f16f32_f32_nhwckrsc_nhwc_tilesize128',
            'convolution',
        ),
        (
            'void cutlass__5x_cudnn::Kernel<cutlass_tensorop_f16_s16816fprop_optimized',
            'convolution',
        ),
        ('nvjet_sm90_hsh_136x256_64x4_1x2_h_bz_coopA_gelubias_TNN', 'matrix product'),
        (
            'void cutlass::Kernel2<cutlass_80_tensorop_f16_s16816gemm_f16_64x128_64x3',
            'matrix product',
        ),
        ('cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7', 'attention'),
        ('void at::native::(anonymous namespace)::cunn_SpatialSoftMaxForward<float', 'softmax'),
        (
            'void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<c10',
            'normalization',
        ),
        (
            'void at::native::reduce_kernel<512, 1, at::native::ReduceOp<c10::Half, '
            'at::native::WelfordOps<c10::Half',
            'normalization',
        ),
        ('upsample_bilinear2d_nhwc_out_frame<c10::Half, float>', 'interpolation, pooling'),
        ('CatArrayBatchedCopy<at::native::OpaqueType<2u>, unsigned int, 4', 'concatenation, copy'),
        ('triton_poi_fused_gelu_view_67', 'triton'),
        (
            'void at::native::vectorized_elementwise_kernel<8, at::native::GeluCUDAKernelImpl',
            'pointwise, reduction',
        ),
        ('something else', 'other'),
    ],
)
def test_kinds(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_table_adds_up_by_kind() -> None:
    kernels = [
        Kernel('nvjet_a', 2.5, 4),
        Kernel('nvjet_b', 0.25, 1),
        Kernel('sm90_xmma_fprop', 4.0, 7),
    ]
    assert table(kernels).splitlines()[2:] == [
        '| all | 6.75 | 12 |',
        '| convolution | 4.00 | 7 |',
        '| matrix product | 2.75 | 5 |',
    ]


def test_a_rehearsal_on_a_processor(capsys: pytest.CaptureFixture[str]) -> None:
    words = ['--checkpoint', 'random:XS', '--size', '96x64', '--backend', 'torch']
    device_kernels.main([*words, '--precision', 'float32', '--device', 'cpu', '--top', '2'])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith('| all | ')
    assert sum(' ms ' in line and not line.startswith('|') for line in lines) == 2
