list  = ["a", "b", "c"]
table = { x = 1, "y z" = 2, (list[0]) = 3 }
objs  = [{ n = 1, l = [1, 2] }, { n = 2, l = [3] }]
target "default" {
  args = {
    arithmetic = 1 + 2 * 3 - 4 / 8
    third      = 1 / 3
    remainder  = 7 % 3
    precision  = 0.1 + 0.2
    large      = 123456789012345678901234567890 + 1
    negative   = -5
    logic      = !(true && false) || false
    nested     = false ? "a" : false ? "b" : "c"
    mixed      = true ? 1 : "x"
    comparison = 2 >= 2 && 1 < 3 && "1" != 1
    null_equal = null == null
    splat      = jsonencode(objs[*].n)
    attributes = jsonencode(objs.*.l)
    single     = jsonencode(table[*].x)
    index      = list[1]
    legacy     = list.2
    for_list   = jsonencode([for i, v in list : "${i}${v}" if v != "b"])
    for_map    = jsonencode({ for k, v in table : upper(k) => v })
    grouped    = jsonencode({ for o in objs : length(o.l) > 1 ? "many" : "one" => o.n... })
    template   = "%{ for v in list }<${v}>%{ endfor }%{ if length(list) > 2 ~}  big  %{ else }small%{ endif }"
    escapes    = "tab\tquote\"backslash\\\\ unicode\u00e9 $${literal} %%{literal}"
    unwrapped  = "${list[0]}" == "a"
    object     = jsonencode(table)
    keyword    = jsonencode({ true = 1, for_ = 2 })
  }
}
