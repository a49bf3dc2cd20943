base = "${target.first.context}/base"
target "first" {
  context = "first"
  args    = { A = target.second.args.B, C = target.second.name }
  tags    = concat(target.second.tags, ["first"])
}
target "second" {
  args   = { B = "${target.first.context}-b" }
  tags   = ["second"]
  labels = { group = group.all.targets[1], base = base, count = length(target.third.cache-from) }
}
target "third" {
  cache-from = ["type=registry,ref=x"]
  labels     = { ref = target.third.cache-from[0].ref }
}
group "all" { targets = ["first", "second"] }
