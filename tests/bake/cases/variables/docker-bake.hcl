variable "REPO" { default = "example.com/app" }
variable "COUNT" { default = 2 }
variable "DEBUG" { default = false }
variable "NONE" {}
variable "NULL" { default = null }
variable "FROM_ENV" { default = "no" }
variable "TYPED" {
  type    = list(string)
  default = ["a", 1, true]
}
variable "TABLE" {
  type = map(number)
  default = { one = 1 }
}
variable "OBJECT" {
  type    = object({ name = string, size = optional(number) })
  default = { name = "n", extra = "dropped" }
}
variable "TUPLE" { type = tuple([string, number, bool]) }
variable "ANY" {
  type    = any
  default = [1, "2"]
}
local_name = "${REPO}-${COUNT}"
target "default" {
  tags = ["${REPO}:${COUNT + 1}", local_name]
  args = {
    DEBUG  = DEBUG
    NONE   = NONE
    NULL   = NULL
    ENV    = FROM_ENV
    TYPED  = join("+", TYPED)
    TABLE  = jsonencode(TABLE)
    OBJECT = jsonencode(OBJECT)
    TUPLE  = jsonencode(TUPLE)
    ANY    = jsonencode(ANY)
    KIND   = BAKE_CMD_CONTEXT
  }
}
