CREATE TABLE process (id INTEGER PRIMARY KEY AUTOINCREMENT, command_id TEXT NOT NULL, command TEXT NOT NULL,
  pid INTEGER, status TEXT NOT NULL, output TEXT, error TEXT, return_code INTEGER,
  start_time DATETIME NOT NULL, end_time DATETIME, type TEXT NOT NULL, args TEXT NOT NULL);
CREATE TABLE backup (id TEXT PRIMARY KEY, from_backup_id TEXT, schedule_id INTEGER, start_time DATETIME NOT NULL,
  end_time DATETIME, process_id INTEGER NOT NULL, size INTEGER,
  FOREIGN KEY (from_backup_id) REFERENCES backup(id) ON DELETE CASCADE,
  FOREIGN KEY (schedule_id) REFERENCES schedule(id) ON DELETE SET NULL,
  FOREIGN KEY (process_id) REFERENCES process(id) ON DELETE CASCADE);
CREATE TABLE restore (id INTEGER PRIMARY KEY AUTOINCREMENT, backup_id TEXT NOT NULL, backup_timestamp DATETIME NOT NULL,
  target TEXT NOT NULL, target_path TEXT NOT NULL, start_time DATETIME NOT NULL, end_time DATETIME,
  process_id INTEGER NOT NULL,
  FOREIGN KEY (backup_id) REFERENCES backup(id) ON DELETE CASCADE,
  FOREIGN KEY (process_id) REFERENCES process(id) ON DELETE CASCADE);
