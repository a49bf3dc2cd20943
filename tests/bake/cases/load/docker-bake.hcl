target "plain" {}
target "image" { output = ["type=image,name=a"] }
target "docker" { output = ["type=docker,dest=a.tar"] }
target "local" { output = ["type=local,dest=o"] }
group "default" { targets = ["plain", "image", "docker", "local"] }
