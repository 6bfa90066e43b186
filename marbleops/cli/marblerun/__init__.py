"""MarbleRun's verbs: ``marblerun X`` becomes ``marbleops X`` (marblerun-api-cli-k8s 2).

One module per group of verbs; ``options`` holds MarbleRun's global flags, ``sessions`` its trust logic.
"""
