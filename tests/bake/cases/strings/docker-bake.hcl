target "default" {
  args = {
    basename  = "${basename("/a/b.txt")} ${basename("")} ${basename("a/")}"
    chomp     = "[${chomp("a\n\n")}]"
    dirname   = "${dirname("/a/b/c.txt")} ${dirname("x")} ${dirname("/a/")}"
    format    = format("%05d|%-6s|%6.2f|%v|%q|%t|%x|%%|%[1]d", 42, "ab", 3.14159, [1, "a"], "q\"", true, 255)
    format_g  = format("%v %v %e %g %s", 1e30, 0.000001, 12345.678, 1e-7, 1.50)
    formats   = jsonencode(formatlist("%s-%d", ["a", "b"], [1, 2]))
    indent    = indent(2, "a\nb")
    join      = join(",", ["a", 1], ["b"])
    lower     = lower("ÀB")
    replace   = replace("a.b.c", ".", "-")
    reverse   = reverse("abc")
    sanitize  = sanitize("a.b/c-d_é")
    sort      = jsonencode(sort(["b", "a", "C"]))
    split     = jsonencode(split(",", "a,b,,c"))
    strlen    = strlen("añ👍🏽")
    substr    = "${substr("hello", 1, 3)}|${substr("hello", -3, -1)}|${substr("hi", 5, 2)}"
    title     = title("hello wORLD-foo bar_baz")
    trim      = "${trim("xxaxx", "x")}${trimprefix("v1", "v")}${trimsuffix("a.go", ".go")}${trimspace("  t ")}"
    upper     = upper("straße")
    regex     = "${regex("[0-9]+", "ab12c")} ${jsonencode(regex("(\\w)(\\d)?", "x"))} ${jsonencode(regex("(?P<y>\\d+)-(?P<m>\\d+)", "2024-05"))}"
    regexall  = jsonencode(regexall("[a-z]", "a1b2"))
    regexrep  = regex_replace("hello world", "(\\w+) (\\w+)", "$2 $${1}x")
  }
}
