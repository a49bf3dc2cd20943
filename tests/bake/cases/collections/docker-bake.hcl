target "default" {
  args = {
    chunklist   = jsonencode(chunklist([1, 2, 3, 4, 5], 2))
    coalesce    = coalesce(null, "", "a")
    coalescel   = jsonencode(coalescelist([], [1]))
    compact     = jsonencode(compact(["a", "", "b"]))
    concat      = jsonencode(concat([1], ["a"], []))
    contains    = contains(["a", "b"], "b")
    distinct    = jsonencode(distinct(["b", "a", "b"]))
    element     = "${element(["a", "b", "c"], 4)}${element(["a", "b"], -1)}"
    flatten     = jsonencode(flatten([[1, [2]], [], 3]))
    hasindex    = "${hasindex([1, 2], 1)} ${hasindex([1], 5)}"
    index       = index(["x", "y"], 1)
    indexof     = indexof(["x", "y"], "y")
    keys        = jsonencode(keys({ b = 1, a = 2 }))
    length      = "${length([1, 2])} ${length([])}"
    lookup      = "${lookup({ a = "1" }, "a", "d")}${lookup({ a = "1" }, "z", "d")}"
    merge       = jsonencode(merge({ a = 1, b = 2 }, { b = "3" }, null))
    range       = jsonencode(concat(range(3), range(3, 0), range(1, 10, 4)))
    reverselist = jsonencode(reverselist([1, "a"]))
    product     = jsonencode(setproduct(["a", "b"], [1, 2]))
    slice       = jsonencode(slice(["a", "b", "c"], 1, 3))
    values      = jsonencode(values({ b = 1, a = "x" }))
    zipmap      = jsonencode(zipmap(["a", "b"], [1, 2]))
    sets        = jsonencode([setunion(["b"], ["a"]), setintersection([1, 2], [2, 3]), setsubtract([1, 2], [2]), setsymmetricdifference(["a", "b"], ["b", "c"])])
    element_of  = sethaselement(["a"], "a")
    converted   = jsonencode(convert(["1", "1", "0"], set(number)))
  }
}
