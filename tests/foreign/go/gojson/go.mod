module marbleops.test/gojson

go 1.21
