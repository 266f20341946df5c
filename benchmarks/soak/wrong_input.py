"""Commands by the place that takes a file, a folder or a number, and what is wrong enough to put there."""

EXPLAIN = "analyze explain {ckpt} --image {picture} --question Where? --out why.png"
QUESTIONS = (
    "prepare questions --train-questions {world}/questions_train.json --train-annotations "
    "{world}/annotations_train.json --val-questions {world}/questions_val.json --val-annotations "
    "{world}/annotations_val.json --images {world}/images --out out"
)
FEATURES = (
    "prepare features --images {world}/images --out copy --arch vgg16 --layer pool5_mean --recipe caffe "
    "--weights {weights}"
)
TRAIN = (
    "train --config {config} --data.folder {world} --data.annotator_maps {world}/annotators --name mine "
    "--trainer.max_epochs 1 --trainer.limit_train_batches 1 --trainer.limit_val_batches 1 --analysis.untrained false"
)
ANALYZE = "analyze {ckpt} --limit 4 --plan {plan} --out out"

FILES = {
    "analyze CKPT": "analyze @ --limit 4",
    "analyze --plan": "analyze {ckpt} --limit 4 --plan @ --out out",
    "analyze --data": "analyze {ckpt} --data @ --out out",
    "explain CKPT": EXPLAIN.replace("{ckpt}", "@"),
    "explain --image": EXPLAIN.replace("{picture}", "@"),
    "explain --batch": "analyze explain {ckpt} --batch @ --out out",
    "explain --images": "analyze explain {ckpt} --batch {world}/questions_val.json --images @ --out out",
    "compare RUN": "analyze compare @ --out page.html",
    "compare second RUN": "analyze compare {run} @ --out page.html",
    "figures RUN": "analyze figures @ --out out",
    "workspace RUN": "analyze workspace @ --out view.json",
    "serve CKPT": "analyze serve @ --port 0",
    "train --config": "train --config @",
    "train --ckpt_path": TRAIN + " --ckpt_path @",
    "train --data.folder": TRAIN.replace("--data.folder {world}", "--data.folder @"),
    "train --data.annotator_maps": TRAIN.replace("{world}/annotators", "@"),
    "train --data.val_questions": TRAIN
    + " --data.val_questions @ --data.val_annotations {world}/annotations_val.json",
    "train --data.val_annotations": TRAIN
    + " --data.val_questions {world}/questions_val.json --data.val_annotations @",
    "prepare --train-questions": QUESTIONS.replace("{world}/questions_train.json", "@"),
    "prepare --train-annotations": QUESTIONS.replace("{world}/annotations_train.json", "@"),
    "prepare --val-questions": QUESTIONS.replace("{world}/questions_val.json", "@"),
    "prepare --val-annotations": QUESTIONS.replace("{world}/annotations_val.json", "@"),
    "prepare --weights": FEATURES.replace("{weights}", "@"),
    "prepare import": "prepare import @ --data {world} --out new.ckpt",
    "prepare import --data": "prepare import {weights} --data @ --out new.ckpt",
}
"""Commands by the place that takes a file or folder, which is @ in them."""

OUTPUTS = {
    "explain --out": EXPLAIN.replace("why.png", "@"),
    "explain --batch --out": "analyze explain {ckpt} --batch {csv} --out @",
    "compare --out": "analyze compare {run} --out @",
    "figures --out": "analyze figures {run} --out @",
    "workspace --out": "analyze workspace {run} --out @",
    "analyze --out": ANALYZE.replace("--out out", "--out @"),
    "train --runs": TRAIN + " --runs @",
    "prepare shapes --out": "prepare shapes --train-scenes 2 --val-scenes 2 --epochs 1 --out @",
    "prepare questions --out": QUESTIONS.replace("--out out", "--out @"),
    "prepare import --out": "prepare import {weights} --data {world} --out @",
}
"""Commands by the place that takes what they write."""

NUMBERS = {
    "analyze --limit": "analyze {ckpt} --out out --limit @",
    "analyze --grid": ANALYZE + " --grid @",
    "serve --port": "analyze serve none.ckpt --port @",
    "compare --examples": "analyze compare {run} --out page.html --examples @",
    "figures --epoch": "analyze figures {run} --out out --epoch @",
    "figures --question": "analyze figures {run} --out out --question @",
    "prepare --train-scenes": "prepare shapes --out out --val-scenes 2 --epochs 1 --train-scenes @",
    "prepare --epochs": "prepare shapes --out out --val-scenes 2 --train-scenes 2 --epochs @",
    "prepare --num-answers": QUESTIONS + " --num-answers @",
    "prepare --max-length": QUESTIONS + " --max-length @",
    "prepare --size": FEATURES + " --size @",
    "prepare --batch-size": FEATURES + " --batch-size @",
    "train --seed_everything": TRAIN + " --seed_everything @",
    "train --trainer.devices": TRAIN + " --trainer.devices @",
    "train --data.batch_size": TRAIN + " --data.batch_size @",
    "train --data.num_workers": TRAIN + " --data.num_workers @",
    "train --model.learning_rate": TRAIN + " --model.learning_rate @",
    "train --model.decay": TRAIN + " --model.decay @",
    "train --hidden_size": TRAIN + " --model.head.init_args.hidden_size @",
    "train --dropout": TRAIN + " --model.head.init_args.dropout @",
    "train --analysis.every_n_epochs": TRAIN + " --analysis.every_n_epochs @",
}
WRONG_OUTPUTS = ("/dev/null/x", "/proc/x", "{picture}/x", "x" * 300, "", "a\0b", ".")
WRONG_NUMBERS = ("-1", "0", "nan", "inf", "1.5", "x", "", "99999999999999999999")
LARGE = {"prepare --train-scenes", "prepare --epochs", "train --hidden_size",
         "prepare --max-length", "prepare --size"}  # fmt: skip
"""Numbers whose largest value is no mistake, but more work than an attempt may take."""

PLANS = [
    *(f"{name}: {value}" for name in (
        "grid", "num_questions", "num_images", "num_examples", "frequent_tags", "folds", "correct_above",
        "bootstrap_samples", "seed") for value in ("-1", "1000000000000", ".nan", "x", "[1]", "true")),
    *(f"{name}: {value}" for name in ("compared", "ties", "constant_maps", "resize") for value in ("other", "3", "[]")),
    *(f"{name}: {value}" for name in ("image_methods", "question_methods") for value in (
        "3", "[3]", "[{class_path: os.system}]", "[{class_path: lookwhy.attribution.Nothing}]",
        "[{class_path: lookwhy.attribution.Occlusion, init_args: {grid: 0}}]",
        "[{class_path: lookwhy.attribution.Occlusion, init_args: {grid: -3}}]",
        "[{class_path: lookwhy.attribution.Occlusion, init_args: {colour: red}}]",
        "[{class_path: lookwhy.attribution.Occlusion, init_args: {patch_rgb: [1, 2]}}]",
        "[{class_path: lookwhy.attribution.WordDrop, init_args: {unknown: nowhere}}]")),
    "other: 1", "[]", "3", "", "a: [", "\t- x", "&a [*a]", "!!python/object/apply:os.system [true]", "x: \xff",
    "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\ngrid: [*c, *c]", "[" * 2000, "{grid: 16, grid: 8}",
]  # fmt: skip
"""Plans that hold something wrong, or something that may be right."""

SETTINGS = [
    "--trainer.accelerator gpu", "--trainer.accelerator tpu", "--trainer.accelerator x", "--trainer.precision 64-true",
    "--trainer.precision 7", "--trainer.strategy x", "--trainer.enable_checkpointing false", "--trainer.logger x",
    "--trainer.logger lightning.pytorch.loggers.CometLogger", "--trainer.callbacks x", "--trainer.callbacks.monitor x",
    "--trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor nothing", "--trainer.profiler x",
    "--trainer.val_check_interval 7.5", "--trainer.limit_val_batches 0", "--trainer.fast_dev_run true",
    "--trainer.max_time x", "--trainer.accumulate_grad_batches 0", "--trainer.gradient_clip_val x", "--optimizer SGD",
    "--model x", "--model.head x", "--model.head lookwhy.models.SAN", "--model.head.init_args.use_image 3",
    "--data.sampling x", "--data.features x", "--data.annotators 3", "--analysis.epochs [-5]", "--analysis.epochs x",
    "--analysis.plan x", "--nothing 1", "--trainer.nothing 1", "fit fit", "test", "predict", "--name ../up", "--name ''",
    "--name a/b", "--name [x]", "--name [/bold]", "--project a/b", "--ckpt_path last", "--ckpt_path best",
    "--seed_everything false", "--seed_everything true",
]  # fmt: skip
"""Settings of a training that are wrong, refused by a library, or unusual."""

OTHER = [
    "analyze", "analyze --help", "train", "train --help", "prepare", "prepare --help", "analyze nothing",
    "prepare nothing", "prepare shapes --bad", "prepare download coco", "prepare download nothing --root out",
    "prepare download coco --root out --base-url nothing", "prepare download coco --root out --timeout 0",
    "prepare download coco --root out --timeout 1 --base-url http://127.0.0.1:9/", "analyze {ckpt} --device cuda",
    "analyze {ckpt} --device meta", "analyze {ckpt} --device foo", EXPLAIN + " --device cuda", EXPLAIN + " --device meta",
    EXPLAIN + " --device foo", "analyze serve {ckpt} --device foo --port 0", FEATURES + " --device meta",
    FEATURES + " --device cuda", FEATURES + " --layer fc7 --size 448", FEATURES + " --recipe torchvision",
    "analyze explain {ckpt} --image {picture} --question ''", "analyze explain {ckpt} --image {picture} --question ???",
    "analyze explain {ckpt} --image {picture} --question \x1b[2J", "analyze explain {ckpt} --batch {csv} --format x",
    "analyze explain {ckpt} --batch {jsonl} --out out --format json", "analyze compare {run} {run}",
    "analyze figures {run} --out out --format x", "analyze figures {run} --out out --names a b",
    "analyze figures {run} --out out --names [bold]", ANALYZE, EXPLAIN, QUESTIONS, TRAIN,
    TRAIN + " --ckpt_path {ckpt}", "analyze explain {ckpt} --batch {csv} --out out",
]  # fmt: skip
