import torch

from lookwhy.data.shapes.network import PAIRS, _load_scenes, train_shapes_cnn
from lookwhy.data.shapes.world import generate_shapes_world
from lookwhy.towers.shapes_cnn import build_shapes_cnn


def test_features_name_what_stands_at_a_place_after_a_short_training(tmp_path):
    generate_shapes_world(tmp_path, 260, 1, seed=3)
    before = torch.get_rng_state()
    cnn = train_shapes_cnn(tmp_path, seed=0, epochs=6)
    assert torch.equal(before, torch.get_rng_state())
    images, pairs, _ = _load_scenes(tmp_path)
    with torch.no_grad():
        features = cnn(images)
    assert features.shape == (260, 96 * 9)
    assert (features >= 0).all()
    # A linear reading by least squares, on places that it was not fitted to.
    places = features.view(260, 96, 9).transpose(1, 2).reshape(-1, 96).double()
    truth = pairs.view(-1)
    fitted = torch.linalg.lstsq(
        torch.cat([places, torch.ones(len(places), 1)], 1)[:1800],
        torch.nn.functional.one_hot(truth[:1800], PAIRS + 1).double(),
        driver="gelsd",  # some channels are always 0: the matrix has not full rank
    ).solution
    named = (torch.cat([places, torch.ones(len(places), 1)], 1)[1800:] @ fitted).argmax(1)
    there = truth[1800:] < PAIRS
    assert float((named == truth[1800:])[there].double().mean()) > 0.4  # chance is 1 in 12


def test_training_is_deterministic_by_seed(tmp_path):
    generate_shapes_world(tmp_path, 20, 1, seed=3)
    first, same, other = (train_shapes_cnn(tmp_path, seed=s, epochs=1).state_dict() for s in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_the_network_is_a_plain_sequence_that_occlusion_can_walk():
    from lookwhy.attribution import IncrementalOcclusion

    assert IncrementalOcclusion(build_shapes_cnn().eval()).incremental
