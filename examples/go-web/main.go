// A small web service with gin: a few routes and two local packages.
package main

import (
	"net/http"
	"os"

	"github.com/gin-gonic/gin"

	"go-web/bar"
	"go-web/foo"
)

func router() *gin.Engine {
	r := gin.New()
	r.GET("/ping", func(c *gin.Context) {
		c.JSON(http.StatusOK, gin.H{"message": "pong"})
	})
	r.GET("/foo", func(c *gin.Context) {
		c.JSON(http.StatusOK, gin.H{"message": foo.Greeting()})
	})
	r.GET("/bar/:name", func(c *gin.Context) {
		c.JSON(http.StatusOK, gin.H{"message": bar.Shout(c.Param("name"))})
	})
	return r
}

func main() {
	gin.SetMode(gin.ReleaseMode)
	address := os.Getenv("ADDRESS")
	if address == "" {
		address = "127.0.0.1:8080"
	}
	if err := router().Run(address); err != nil {
		panic(err)
	}
}
