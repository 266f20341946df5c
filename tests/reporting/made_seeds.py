"""Small runs made by hand whose config.yaml names a group and a seed."""

import yaml
from made_results import make_run


def seeded(folder, seed: int, epochs=2, change=None, **options):
    """A run whose occlusion agrees by 0.2 + 0.1 seed, with the config.yaml of a training.

    `change(result)` alters each epoch; `options` are further options of config.yaml.
    """

    def set_values(result):
        result.summary["image/occlusion/rank_correlation"] = 0.2 + 0.1 * seed
        result.summary["accuracy/overall"] = 0.4 + 0.02 * seed
        if change:
            change(result)

    run = make_run(folder, None, epochs, set_values)
    config = {"seed_everything": seed, "name": folder.name, "group": "seeds"}
    config |= {"model": {"learning_rate": 0.003}} | options
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    return run
