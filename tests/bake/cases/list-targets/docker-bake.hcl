group "default" { targets = ["b", "a"] }
group "described" {
  description = "A group"
  targets     = ["a"]
}
target "a" { description = "The first" }
target "b" {}
target "_private" {}
