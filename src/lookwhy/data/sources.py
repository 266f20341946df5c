"""The files that `prepare.py download` fetches: official addresses, and sums where somebody published them.

This project computed no sum itself. They are from ParlAI (VQA: `parlai/tasks/vqa_v1/build.py`, `vqa_v2`),
TensorFlow Datasets (COCO: `url_checksums/coco.txt`) and OpenVINO's Open Model Zoo (VGG-19:
`models/public/vgg19/model.yml`). VQA-HAT (Das et al. 2016) has none: length and CRC are checked instead.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """One published file.

    Attributes:
        url: address; its last part is the file's name.
        checksum: `algorithm:hexadecimal digest`, algorithms as in hashlib; None where none is published.
        folder: folder for a zip's content, however it was packed; None where the zip has it right.
    """

    url: str
    checksum: str | None = None
    folder: str | None = None

    @property
    def name(self) -> str:
        """The file's name on the server and on disk."""
        return self.url.rsplit("/", 1)[1]

    @property
    def is_archive(self) -> bool:
        """Whether the file is a zip: unpacked, then removed."""
        return self.name.endswith(".zip")

    def at(self, base_url: str | None) -> str:
        """Address on a mirror that holds all files flat under `base_url`; None: the official one."""
        return self.url if base_url is None else f"{base_url.rstrip('/')}/{self.name}"


_VQA = "https://s3.amazonaws.com/cvmlp/vqa/mscoco/vqa/"
_COCO = "http://images.cocodataset.org/zips/"
_HAT = "https://s3.amazonaws.com/vqa-hat/"
_VGG = "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/"


def _sha256(prefix: str, sums: str) -> tuple[Source, ...]:
    """From lines as sha256sum writes them."""
    pairs = (line.split() for line in sums.strip().splitlines())
    return tuple(Source(prefix + name, f"sha256:{digest}") for digest, name in pairs)


DATASETS: dict[str, tuple[Source, ...]] = {
    "vqa-v1": _sha256(
        _VQA,
        """
c3b2bb6155528eeae95e0a914af394d6f0d98f8f2b51012c44b27778e1a96707  Questions_Train_mscoco.zip
e8839be5de2d711989bf0adc82e6717d1ce307d27c9b1dfb0abf413b79a5d4d0  Questions_Val_mscoco.zip
a5f5f97c162a4ad44896be08bac6deaa258aa3fec281afcc84fe85ae44cb1ebc  Annotations_Train_mscoco.zip
29377c35186d90aeab3e61bdad890f51215d1f88b700bd22ef19004d73bf284f  Annotations_Val_mscoco.zip
bd080c297fc863bf8258caa4864d3b5afab29373375a6637f8546338291e28c0  Questions_Test_mscoco.zip
        """,
    ),
    "vqa-v2": _sha256(
        _VQA,
        """
05a64b6e2582d06d7585f5429674a9a33851878be1bff9f8668cdcf792df611e  v2_Questions_Train_mscoco.zip
e71f6c5c3e97a51d050f28243e262b28cd0c48d11a6b4632d769d30d3f93222a  v2_Questions_Val_mscoco.zip
fb101bcefe91422c543c2bb6d70af11eb3119d0ff745ae283d09acdf66250853  v2_Annotations_Train_mscoco.zip
0caae7c8d1dafd852727f5ac046bc1efca9b72026bd6ffa34fc489f3a7b3291e  v2_Annotations_Val_mscoco.zip
982e2e687a86514b78ea83af356d151976c5e3fb4168a29ca543610574082ad7  v2_Questions_Test_mscoco.zip
        """,
    ),
    "coco": _sha256(
        _COCO,
        """
ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775  train2014.zip
fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0  val2014.zip
        """,
    ),
    # configs/vqa_v1.yaml names the folder.
    "vqa-hat": (
        Source(_HAT + "vqahat_train.zip", folder="vqahat_train"),
        Source(_HAT + "vqahat_val.zip", folder="vqahat_val"),
    ),
    "vgg19-caffe": (
        Source(
            _VGG + "VGG_ILSVRC_19_layers.caffemodel",
            "sha384:86b83739d448a81ddc927922d4d7581e06113478106b59480097b02cc63ff51c"
            "9da7c3cd8a865b08946d07d0281d5b2e",
        ),
    ),
}
"""File lists by the names that the command takes."""
