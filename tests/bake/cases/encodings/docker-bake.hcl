target "default" {
  args = {
    base64  = "${base64encode("héllo")} ${base64decode("aGk=")}"
    csv     = jsonencode(csvdecode("a,b\n1,2\n3,\"x,y\"\n"))
    json    = jsonencode({ s = "<&>\u2028é", n = 1.0, l = [null, true] })
    decoded = jsonencode(jsondecode("{\"a\": [1, 2.50, \"x\"], \"b\": null}"))
    hashes  = "${md5("a")} ${sha1("a")} ${sha256("a")} ${sha512("a")}"
    url     = urlencode("a b&c=é/~*")
    uuid    = "${uuidv5("dns", "example.com")} ${uuidv5("6ba7b811-9dad-11d1-80b4-00c04fd430c8", "x")}"
    cidr    = "${cidrhost("10.1.0.0/16", 5)} ${cidrhost("10.1.0.0/16", -2)} ${cidrnetmask("172.16.0.0/12")} ${cidrsubnet("172.16.0.0/12", 4, 2)} ${cidrsubnet("fd00::/48", 16, 162)}"
    subnets = jsonencode(cidrsubnets("10.1.0.0/16", 4, 4, 8, 4))
    date    = "${formatdate("YYYY-MM-DD'T'hh:mm:ssZ EEEE MMM 'o''clock' H:mm aa", "2024-02-03T14:05:06+02:00")}"
    unix    = "${formattimestamp("X", "1970-01-02T00:00:00Z")} ${formattimestamp("DD MMMM YY", 86400)}"
    added   = "${timeadd("2024-02-28T23:00:00Z", "90m")} ${timeadd("2024-03-01T00:00:00+01:00", "-1h1s")}"
    parsed  = jsonencode(unixtimestampparse(1690328596))
    semver  = jsonencode([for c in ["^1.2", "~1.2.0", ">=1.0, <2", "1.x", "2 - 3", "!=1.2.5", "1.2.3 || 1.2.5", "*", ">1", "<=1", "=1.2.5"] : semvercmp("1.2.5", c)])
    prerel  = jsonencode([for c in [">=1.0.0", ">=1.0.0-0", "1.1.0-rc.1"] : semvercmp("v1.1.0-rc.1", c)])
  }
}
