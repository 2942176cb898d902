# spark-submit --packages org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0 batch.py
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, count, from_json, sum, struct, to_json

spark = SparkSession.builder.appName("origins").getOrCreate()


def summary(flights):
    return (flights.select(from_json(col("value").cast("string"), "number int, origin string, distance long").alias("flight"))
            .select("flight.*").dropDuplicates(["number"])
            .groupBy("origin").agg(count("*").alias("flights"), sum("distance").alias("distance"))
            .select(col("origin").alias("key"), to_json(struct("origin", "flights", "distance")).alias("value")))


def publish(table, topic):
    (table.write.format("kafka")
     .option("kafka.bootstrap.servers", "localhost:9092")
     .option("topic", topic)
     .save())


topic = (spark.read.format("kafka")
         .option("kafka.bootstrap.servers", "localhost:9092")
         .option("subscribe", "flights-spark")
         .option("startingOffsets", "earliest")
         .option("endingOffsets", "latest")
         .load())
publish(summary(topic), "origins")

# The files that the stream wrote, each line as it is.
publish(spark.read.text("flights-spark"), "flights-of-files")
