module marbleops.test/template

go 1.21
