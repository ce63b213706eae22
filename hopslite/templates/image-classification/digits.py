"""Writes scikit-learn's handwritten digits as pictures in the folders train/<class>/ and test/<class>/.

python digits.py FOLDER [IMAGES]
"""

import os
import shutil
import sys
import tempfile

from PIL import Image
from sklearn.datasets import load_digits


def write(folder=None, count=None, tested_of_ten=3):
    """Write the pictures, unless they are there, and return the folder; of ten images `tested_of_ten` are in test/.

    Without a folder it is one for temporary files: what a program writes into its working directory is kept.
    """
    folder = folder or os.path.join(tempfile.gettempdir(), "digits-as-pictures")
    if os.path.isdir(folder):
        return folder
    images, labels = (values[:count] for values in load_digits(return_X_y=True))
    beside = tempfile.mkdtemp(dir=os.path.dirname(os.path.abspath(folder)))
    for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        part = "test" if number % 10 < tested_of_ten else "train"
        os.makedirs(os.path.join(beside, part, str(label)), exist_ok=True)
        image = Image.fromarray((pixels.reshape(8, 8) * 255 / 16).astype("uint8"))
        image.save(os.path.join(beside, part, str(label), f"{number:04}.png"))
    try:
        os.rename(beside, folder)  # as a whole: two trials may begin at once
    except OSError:
        shutil.rmtree(beside)
        if not os.path.isdir(folder):
            raise
    return folder


if __name__ == "__main__":
    print(write(*sys.argv[1:2], *map(int, sys.argv[2:])))
