// A Go client of the Coordinator, written from the reference and with the standard library alone: it must build
// without a network.
module marbleops.invalid/tests/foreign/client

go 1.23
