variable "PREFIX" { default = "p" }
function "tag" {
  params          = [name]
  variadic_params = suffixes
  result          = "${PREFIX}/${name}:${join("-", suffixes)}"
}
function "double" {
  params = [x]
  result = x * 2
}
function "quad" {
  params = [x]
  result = double(double(x))
}
target "default" {
  tags = [tag("a", "1", "2"), tag("b", ["x", "y"]...)]
  args = { Q = quad(2.5), T = try(tag(), "failed"), C = can(tag("x")) }
}
