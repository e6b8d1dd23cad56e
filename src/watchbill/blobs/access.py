from watchbill.runtime.principals import Table

TABLES = [Table("blobs_blob", app="select, insert", others={"worker": "select, insert, update"})]
