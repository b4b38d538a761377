"""Images without a label among labelled ones: trained on, and left out where classes are read."""

import torch

from aninfonce.data import NO_LABEL, Augmentation, ImageDataset, ImageSplit, load_images
from aninfonce.training import TrainConfig, readouts, train
from aninfonce.training.loop import make_task
from aninfonce.training.readouts import labelled
from aninfonce.training.run import class_images, splits

CONFIG = TrainConfig(
    backbone="small:4", projector_dim=4, projector_hidden=8, epochs=1, batch_size=16, limit=64, device="cpu"
)


def partly_labelled():
    """The digits, every tenth with its label."""
    digits = load_images("digits")
    labels = digits.train.labels.clone()
    labels[torch.arange(len(labels)) % 10 != 0] = NO_LABEL
    return ImageDataset("digits", ImageSplit(digits.train.images, labels), digits.test, digits.class_names)


def test_classes_are_read_from_the_labelled_images_only():
    """Labels of the others must not matter: the readout equals that on the labelled images alone."""
    dataset = partly_labelled()
    some = torch.arange(0, 600)
    images, labels = dataset.train.images[some], dataset.train.labels[some]
    known = labels != NO_LABEL
    test = (dataset.test.images[:100], dataset.test.labels[:100].clone())
    model = make_task(CONFIG, images).model
    augment = Augmentation("crop-flip", channels=1, image_size=16)
    alone = readouts(model, (images, labels), test, augment, class_train=(images[known], labels[known]))
    assert readouts(model, (images, labels), test, augment) == alone
    test[1][:] = NO_LABEL
    without = readouts(model, (images, labels), test, augment)
    measures = ("class_accuracy", "knn_accuracy")
    of_classes = {f"{layer}/{measure}" for layer in ("backbone", "projector") for measure in measures}
    assert {name for name in alone if name not in without} == of_classes


def test_a_limit_does_not_leave_the_readout_without_labels():
    dataset = partly_labelled()
    fitting, _ = splits(CONFIG, dataset)
    assert len(fitting[0]) == 64
    images, labels = class_images(CONFIG, dataset, fitting)
    assert len(images) == int((dataset.train.labels != NO_LABEL).sum())
    assert bool((labels >= 0).all())
    fully = load_images("digits")
    fitting, _ = splits(CONFIG, fully)
    assert class_images(CONFIG, fully, fitting) is fitting
    assert labelled(fitting) is fitting


def test_validation_images_stay_out_of_the_fit():
    dataset = partly_labelled()
    config = TrainConfig(**{**CONFIG.__dict__, "validation": 0.3})
    fitting, scoring = splits(config, dataset)
    images, _ = class_images(config, dataset, fitting)
    held_out = {image.numpy().tobytes() for image in scoring[0]}
    seen_twice = {image.numpy().tobytes() for image in dataset.train.images} & held_out
    assert seen_twice
    assert not held_out & {image.numpy().tobytes() for image in images}


def test_a_run_on_partly_labelled_images_reports_classes(tmp_path, monkeypatch):
    monkeypatch.setattr("aninfonce.training.run.load_images", lambda *_, **__: partly_labelled())
    result = train(CONFIG, tmp_path)
    assert 0 < result.metrics["backbone/class_accuracy"] <= 1
    assert result.metrics["train_images"] == 64
