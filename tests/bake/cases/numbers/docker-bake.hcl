target "default" {
  args = {
    absolute = absolute(-1.5)
    rounding = "${ceil(1.2)} ${floor(-1.2)} ${int(-1.9)} ${ceil(-0.5)}"
    basic    = "${add(1, 2)} ${subtract(1, 2)} ${multiply(1.5, 2)} ${divide(7, 2)} ${modulo(-7, 3)} ${negate(3)}"
    log      = log(1024, 2)
    pow      = "${pow(2, 10)} ${pow(2, 0.5)}"
    extremes = "${max(1, 3, 2)} ${min(1, -3, 2)}"
    signum   = "${signum(-3)}${signum(0)}${signum(9)}"
    parseint = "${parseint("ff", 16)} ${parseint("-101", 2)} ${parseint("Zz", 62)}"
    compare  = "${greaterthan(2, 1)} ${lessthanorequalto(1, 1)} ${equal("a", "a")} ${notequal(1, 2)} ${and(true, false)} ${or(true, false)} ${not(true)}"
    exponent = 1.5e3
    small    = 1e-7
    thirds   = divide(2, 3)
    length   = length(["a", "b", "c"]) / 7
  }
}
