from lamina.dockerfile.ignore import read_patterns


def test_an_ignore_file() -> None:
    data = "\ufeff# comment\n\n/a/b/\n ./c \n! /d\n #x\r\n!\n/\n//e\n".encode()
    assert read_patterns(data) == ("a/b", "c", "!d", "#x", "!", "/", "e")
