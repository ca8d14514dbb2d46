"""The network: the world is round in x, walls are walls, and an untrained network answers nothing."""

import shutil

import pytest
import torch

from warmstart.errors import UserError
from warmstart.generator.network.denoiser import Condition
from warmstart.generator.network.unet import Attention, Convolution, UNet, strides
from warmstart.generator.settings import NetworkConfig, resolve


def make(columns, periodic_x, rows=11, features=2, maps=1, **settings):
    torch.manual_seed(0)
    static = torch.ones(5, rows, columns) * torch.linspace(0, 1, rows)[:, None]
    net = UNet(
        3,
        maps,
        features,
        static,
        NetworkConfig(**{"widths": (8, 12, 12), "embedding": 16} | settings),
        periodic_x,
    )
    torch.nn.init.normal_(net.head.layer.weight)
    if net.attention is not None:
        torch.nn.init.normal_(net.attention.merge.weight)
    return net


def answer(net, x):
    return net(x, torch.tensor([0.3]), torch.ones(1, 2), torch.ones(1, 1, *x.shape[2:]))


@pytest.mark.parametrize(
    "columns, shift, settings",
    [(9, 1, {}), (12, 4, {}), (16, 8, {"patch": 2}), (12, 4, {"attention": 3}), (16, 4, {"halve": "all"})],
)
def test_shifting_the_input_around_the_globe_shifts_the_output(columns, shift, settings):
    """A seam at the edge of the array would show up as a seam in every ocean."""
    net, x = make(columns, True, **settings), torch.randn(1, 3, 11, columns)
    with torch.no_grad():
        rolled = answer(net, x.roll(shift, -1))
        torch.testing.assert_close(rolled, answer(net, x).roll(shift, -1), rtol=1e-4, atol=1e-4)


def test_a_closed_basin_knows_its_walls():
    net, x = make(9, False), torch.randn(1, 3, 11, 9)
    with torch.no_grad():
        assert not torch.allclose(answer(net, x.roll(1, -1)), answer(net, x).roll(1, -1), atol=1e-2)


def test_padding_is_periodic_in_x_and_closed_in_y():
    """A kernel that looks at one neighbour only: what it sees beyond each edge."""
    x = torch.arange(6.0).reshape(1, 1, 2, 3) + 1
    seen = {}
    for side, row, column in (("west", 1, 0), ("east", 1, 2), ("south", 0, 1), ("north", 2, 1)):
        for periodic_x in (True, False):
            layer = Convolution(1, 1, periodic_x)
            torch.nn.init.zeros_(layer.layer.weight)
            torch.nn.init.zeros_(layer.layer.bias)
            layer.layer.weight.data[0, 0, row, column] = 1
            seen[side, periodic_x] = layer(x)[0, 0].tolist()
    assert seen["west", True] == [[3, 1, 2], [6, 4, 5]] and seen["east", True] == [[2, 3, 1], [5, 6, 4]]
    assert seen["west", False] == [[0, 1, 2], [0, 4, 5]] and seen["east", False] == [[2, 3, 0], [5, 6, 0]]
    for periodic_x in (True, False):
        assert seen["south", periodic_x] == [[0, 0, 0], [1, 2, 3]]
        assert seen["north", periodic_x] == [[4, 5, 6], [0, 0, 0]]


def test_the_untrained_network_answers_zero():
    net = make(9, True)
    torch.nn.init.zeros_(net.head.layer.weight)
    assert not answer(net, torch.randn(1, 3, 11, 9)).any()


def test_a_dropped_condition_has_no_influence():
    """Whatever the parameters, profiles, state and age are: what is not told can not be read off the answer."""
    net, x = make(9, True, features=9, maps=4), torch.randn(1, 3, 11, 9)
    for block in net.down:
        torch.nn.init.normal_(block.modulate.weight)  # as after some training: scalars act

    def told(value, flags):
        condition = Condition(
            torch.full((1, 2), value), torch.full((1, 1, 11), value), flags, torch.ones(1, 2),
            torch.full((1, 3, 11, 9), value), torch.full((1,), value),
        )  # fmt: skip
        return net(x, torch.tensor([0.3]), condition.features(), condition.maps(9))

    nothing = torch.zeros(1, 4)
    assert torch.equal(told(0.0, nothing), told(5.0, nothing))
    for one in range(4):
        flags = nothing.clone()
        flags[0, one] = 1
        assert not torch.allclose(told(0.5, flags), told(0.0, flags))


def test_masks_reach_every_scale():
    """Masks that stop at the stem would be forgotten where the field is coarse."""
    net = make(12, True)
    for block in [*net.down, *net.up]:
        weight = block.first.layer.weight
        assert weight.shape[1] == block.norm_in.gain.shape[0] + 5


def test_columns_are_halved_only_while_they_are_even():
    assert strides(13, 2) == [(2, 1), (2, 1)]
    assert strides(104, 4) == [(2, 2), (2, 2), (2, 2), (2, 1)]


@pytest.mark.parametrize("periodic_x", [True, False])
@pytest.mark.parametrize(
    "settings", [{}, {"patch": 2, "attention": 2}, {"halve": "all", "blocks": (1, 2, 1)}, {"patch": 4}]
)
def test_evaluation_with_reordered_weights_gives_the_numbers_of_training(settings, periodic_x):
    """The fast path of sampling is another code than the one that was trained."""
    net, x = make(16, periodic_x, **settings), torch.randn(1, 3, 11, 16)
    trained = answer(net, x).detach()
    net.eval()
    with torch.no_grad():
        assert answer(net, x).shape == x.shape
        torch.testing.assert_close(answer(net, x), trained, rtol=1e-4, atol=1e-5)


def test_new_weights_are_noticed_by_a_network_in_evaluation():
    """Reordered copies that outlive the weights they were made from would sample from an old network."""
    net, other, x = make(12, True).eval(), make(12, True).eval(), torch.randn(1, 3, 11, 12)
    torch.nn.init.normal_(other.stem.layer.weight, std=0.1)
    torch.nn.init.normal_(other.down[0].first.layer.bias)
    with torch.no_grad():
        before = answer(net, x)
        net.load_state_dict(other.state_dict())
        assert torch.equal(answer(net, x), answer(other, x))
        assert not torch.allclose(answer(net, x), before)


def test_an_example_is_answered_alike_whatever_its_batch():
    net = make(12, True, attention=3).eval()
    x, noise = torch.randn(4, 3, 11, 12), torch.linspace(-1, 1, 4)
    inputs = (torch.randn(4, 2), torch.randn(4, 1, 11, 12))
    with torch.no_grad():
        together = net(x, noise, *inputs)
        for i in range(4):
            alone = net(x[i : i + 1], noise[i : i + 1], *(a[i : i + 1] for a in inputs))
            torch.testing.assert_close(alone[0], together[i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows, columns", [(13, 9), (25, 14), (49, 13)])
def test_halving_any_number_gives_maps_of_every_size_back(rows, columns):
    net = make(columns, True, rows=rows, halve="all")
    x = torch.randn(1, 3, rows, columns)
    assert answer(net, x).shape == x.shape


def test_attention_sees_across_the_basin_and_not_on_land():
    """A change at one end of the coarsest scale reaches the other end; land cells are keys of nobody."""
    layer = Attention(8, 2)
    torch.nn.init.normal_(layer.merge.weight)
    x, wet = torch.randn(1, 8, 4, 30), torch.ones(1, 4, 30, dtype=torch.bool)
    wet[:, 0] = False
    with torch.no_grad():
        before = layer(x, wet)
        dry, far = x.clone(), x.clone()
        dry[:, :, 0, 3] += 1
        far[:, :, 1, 3] += 1
        assert torch.equal(layer(dry, wet)[:, :, 1:], before[:, :, 1:])
        assert not torch.allclose(layer(far, wet)[:, :, 3, 20], before[:, :, 3, 20])


def test_mixed_precision_and_compiled_blocks_stay_near_the_plain_network():
    net, x = make(12, True, attention=3), torch.randn(2, 3, 11, 12)
    inputs = (torch.zeros(2), torch.ones(2, 2), torch.ones(2, 1, 11, 12))
    plain = net(x, *inputs).detach()
    rough = net.accelerate(bfloat16=True)(x, *inputs)
    assert rough.dtype == torch.float32
    assert 0 < float((rough.detach() - plain).norm() / plain.norm()) < 0.03
    rough.square().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in net.parameters() if p.grad is not None)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_blocks_have_the_gradients_of_the_plain_network():
    """A compiler that silently drops a term of a gradient trains another network (pytorch issue 140913)."""
    gradients = []
    for compiled in (False, True):
        net = make(8, True, widths=(8,)).accelerate(compiled=compiled)
        x = torch.randn(1, 3, 11, 8, generator=torch.Generator().manual_seed(0))
        answer(net, x).square().sum().backward()
        assert set(net.state_dict()) == set(make(8, True, widths=(8,)).state_dict())
        gradients.append({n: p.grad for n, p in net.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(
            gradients[1][name], gradient, rtol=1e-3, atol=1e-3 * float(gradient.abs().max())
        )


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"attention": 5}, "do not divide the last width 48"),
        ({"blocks": (1, 2)}, "expected one, or 3"),
        ({"widths": (8, 0)}, "widths.1"),
        ({"patch": 0}, "patch"),
        ({"halve": "never"}, "'even' or 'all'"),
    ],
)
def test_a_network_that_cannot_be_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        resolve({"network": settings})


def test_a_stem_that_does_not_divide_a_periodic_basin_is_refused():
    with pytest.raises(UserError, match="does not divide the 13 columns"):
        make(13, True, patch=2)
    assert answer(make(13, False, patch=2), torch.randn(1, 3, 11, 13)).shape == (1, 3, 11, 13)


def test_recomputed_blocks_have_the_gradients_of_blocks_that_are_kept():
    gradients = []
    for recompute in (False, True):
        net = make(8, True, recompute=recompute, attention=2)
        answer(
            net, torch.randn(1, 3, 11, 8, generator=torch.Generator().manual_seed(0))
        ).square().sum().backward()
        gradients.append({n: p.grad for n, p in net.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert torch.equal(gradients[1][name], gradient)
