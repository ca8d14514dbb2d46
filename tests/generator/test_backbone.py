"""The network: the world is round in x, walls are walls, and an untrained network answers nothing."""

import pytest
import torch

from warmstart.generator.backbone import UNet, pad, strides


def make(columns, periodic_x, rows=11):
    torch.manual_seed(0)
    static = torch.ones(5, rows, columns) * torch.linspace(0, 1, rows)[:, None]
    net = UNet(3, 1, 2, static, (8, 12, 12), 1, 16, periodic_x)
    torch.nn.init.normal_(net.head.layer.weight)
    return net


def answer(net, x):
    return net(x, torch.tensor([0.3]), torch.ones(1, 2), torch.ones(1, 1, x.shape[2]), torch.ones(1))


@pytest.mark.parametrize("columns, shift", [(9, 1), (12, 4)])
def test_shifting_the_input_around_the_globe_shifts_the_output(columns, shift):
    """A seam at the edge of the array would show up as a seam in every ocean."""
    net, x = make(columns, True), torch.randn(1, 3, 11, columns)
    with torch.no_grad():
        rolled = answer(net, x.roll(shift, -1))
        torch.testing.assert_close(rolled, answer(net, x).roll(shift, -1), rtol=1e-4, atol=1e-4)


def test_a_closed_basin_knows_its_walls():
    net, x = make(9, False), torch.randn(1, 3, 11, 9)
    with torch.no_grad():
        assert not torch.allclose(answer(net, x.roll(1, -1)), answer(net, x).roll(1, -1), atol=1e-2)


def test_padding_is_periodic_in_x_and_closed_in_y():
    x = torch.arange(6.0).reshape(1, 1, 2, 3) + 1
    padded = pad(x, True)[0, 0]
    assert padded[1].tolist() == [3, 1, 2, 3, 1]
    assert not padded[[0, -1]].any()
    assert not pad(x, False)[0, 0][:, [0, -1]].any()


def test_the_untrained_network_answers_zero():
    net = make(9, True)
    torch.nn.init.zeros_(net.head.layer.weight)
    assert not answer(net, torch.randn(1, 3, 11, 9)).any()


def test_a_dropped_condition_has_no_influence():
    net, x = make(9, True), torch.randn(1, 3, 11, 9)
    results = [
        net(x, torch.tensor([0.3]), torch.full((1, 2), v), torch.full((1, 1, 11), v), torch.zeros(1))
        for v in (0.0, 5.0)
    ]
    assert torch.equal(*results)
    assert not torch.allclose(answer(net, x), results[0])


def test_masks_reach_every_scale():
    """Masks that stop at the stem would be forgotten where the field is coarse."""
    net = make(12, True)
    for block in [*net.down, *net.up]:
        weight = block.first.layer.weight
        assert weight.shape[1] == block.norm_in.gain.shape[0] + 5


def test_columns_are_halved_only_while_they_are_even():
    assert strides(13, 2) == [(2, 1), (2, 1)]
    assert strides(104, 4) == [(2, 2), (2, 2), (2, 2), (2, 1)]
