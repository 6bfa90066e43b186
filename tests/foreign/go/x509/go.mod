module marbleops.test/x509

go 1.25
