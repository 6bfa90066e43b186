"""Reading SGX enclave signatures (SIGSTRUCT) from the files that EGo, Gramine and Occlum build."""
