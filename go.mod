module github.com/leat-project/leat

go 1.26.8
