"""What each of several processes runs: the command line, with a model whose loss is not finite for one embedding.

Usage: poisoned_processes.py EMBEDDING.npy ARGUMENTS
"""

import sys

import numpy as np
import torch

from anisoalign.cli import main
from anisoalign.mllm import EmbeddingLanguageModel

if __name__ == "__main__":
    row = torch.from_numpy(np.load(sys.argv.pop(1)))
    forward = EmbeddingLanguageModel.forward

    def poisoned(self, ids, mask, labels, embeddings):
        found = forward(self, ids, mask, labels, embeddings)
        if (embeddings @ (row / row.norm())).max() > 1 - 1e-5:
            found.loss_sum = found.loss_sum * float("inf")
        return found

    EmbeddingLanguageModel.forward = poisoned
    main()
