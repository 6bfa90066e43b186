// The programs here call MarbleRun's own SDK. They are built by tools/foreign-marblerun alone, in a temporary
// folder, and nothing of MarbleRun is kept in this tree.
module marbleops.invalid/tests/foreign/marblerun

go 1.26

require github.com/edgelesssys/marblerun v1.9.1
