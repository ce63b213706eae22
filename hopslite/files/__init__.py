"""What `hopslite.hdfs` does with the files of a project, wherever they are."""
