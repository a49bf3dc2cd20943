variable "B" {
  description = "second"
  default     = ["x", 1]
}
variable "A" { type = map(list(number)) }
variable "C" {
  type    = string
  default = "q\"uote"
}
variable "D" { default = null }
variable "E" { 
  type = object({ a = optional(string), b = set(bool) })
  default = { b = [true] } 
}
variable "F" { default = 1.50 }
variable "G" { 
  type = any 
  default = "x"
}
target "default" {}
