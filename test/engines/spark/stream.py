# spark-submit --packages org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0 stream.py
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, get_json_object

spark = SparkSession.builder.appName("flights").getOrCreate()

flights = (spark.readStream.format("kafka")
           .option("kafka.bootstrap.servers", "localhost:9092")
           .option("subscribe", "flights")
           .option("startingOffsets", "earliest")
           .option("maxOffsetsPerTrigger", 1000)
           .load()
           .select(get_json_object(col("value").cast("string"), "$.origin").alias("key"), "value"))

# To another topic: at least once. What a killed job had written of its last batch is written again.
(flights.writeStream.format("kafka")
 .option("kafka.bootstrap.servers", "localhost:9092")
 .option("topic", "flights-spark")
 .option("checkpointLocation", "checkpoints/topic")
 .start())

# To files: exactly once.
(flights.select(col("value").cast("string")).writeStream.format("text")
 .option("path", "flights-spark")
 .option("checkpointLocation", "checkpoints/files")
 .start())

spark.streams.awaitAnyTermination()
