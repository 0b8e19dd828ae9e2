-- Every new key follows the policy: what somebody asked for when an access was provisioned is that access's own now.
INSERT INTO policy (subject, key_algorithm, revision, updated_at, updated_by)
SELECT a.id, a.algorithm, 1, a.created_at, ''
  FROM access a
 WHERE a.algorithm <> 'ssh-ed25519' AND a.closed_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM key_version v WHERE v.access_id = a.id AND v.client_key IS NOT NULL)
ON CONFLICT (subject) DO UPDATE SET key_algorithm = COALESCE(policy.key_algorithm, excluded.key_algorithm);
